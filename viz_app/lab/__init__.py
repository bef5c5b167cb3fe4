"""The Towers page: is one tower really the colour tower? One module per section of the page, and its report."""

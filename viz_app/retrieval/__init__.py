"""The Retrieval page: which images the network finds alike. One module per section of the page."""

"""The Errors page: what the network gets wrong, image by image, and why. One module per section of the page."""

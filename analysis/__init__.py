"""Measurements of a network: arrays in, values out. Knows no plot and no page."""

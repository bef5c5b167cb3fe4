"""Timings of the toolkit's own arithmetic, each runnable with `python -m`."""

"""A real browser drives the console."""

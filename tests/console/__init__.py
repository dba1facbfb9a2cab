"""The console over HTTP: what a browser without script sees."""

"""The built-in plugins: they enter by the same hooks as a guest's and import only what a guest may import."""

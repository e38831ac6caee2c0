"""One module per format that a device runs."""

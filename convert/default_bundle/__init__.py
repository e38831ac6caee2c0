"""The bundle that the package carries: made, measured and described."""

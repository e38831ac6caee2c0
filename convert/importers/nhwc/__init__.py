"""Sources that keep pictures NHWC, turned into a network that keeps them NCHW."""

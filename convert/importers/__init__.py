"""One module per source format; each gives a `convert.network.Network`."""

"""People who are enrolled once, elsewhere, and come signed and retained over the broker.

`edge.sync.opening` makes what a daemon needs of it, `edge.sync.publishing` is the other end.
"""

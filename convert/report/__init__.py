"""One self-contained HTML page about a bundle or a folder of artifacts, and the same figures as JSON."""

"""Templates and names at rest: what seals them, which keys a gallery was sealed with, and sealing it anew."""

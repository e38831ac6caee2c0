"""The owner's side of signed bundles: keys, and a repository of The Update Framework in a plain folder."""

"""What a model file is: said, counted and drawn."""

"""Trains the project's own default models: students that learn from a float teacher, without labels."""

"""TensorFlow graphs -> Network: frozen GraphDefs, and what checkpoints, SavedModels and Keras files become."""

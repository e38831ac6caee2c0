"""A student of accelerated operators learns the embeddings of a float teacher, and the integer arithmetic that it will run on."""

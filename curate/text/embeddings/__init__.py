"""Static embeddings: a vector for each token, read from a model folder, and the mean of those of a text."""

"""Finding the questions of eval sets in the data."""

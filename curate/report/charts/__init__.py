"""The charts of the page and of the data set card: which there are, and what is said beside them."""

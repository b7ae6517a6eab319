"""A look ahead: what a mixture would do, from the first rows of each source."""

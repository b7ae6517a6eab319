"""Charts of a build: the frame behind each, and the frame drawn with Altair for a notebook."""

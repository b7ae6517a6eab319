"""Rows of a build, to be looked at: which are shown, their turns with hits, and the browser of rows."""

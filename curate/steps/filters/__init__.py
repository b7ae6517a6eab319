"""Filters that look at one row at a time, and truecase, the Edit beside them."""

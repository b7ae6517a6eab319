"""Measuring how much of a text repeats itself."""

"""Preference pairs: making them of ratings, checking them, balancing their lengths."""

"""Classifiers of rows, trained from rows: what a filter by quality asks."""

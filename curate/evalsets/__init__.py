"""Eval sets: benchmarks that are held against the data, by name from the Hub or from files."""

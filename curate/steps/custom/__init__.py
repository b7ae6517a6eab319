"""A user's own steps: a Polars expression over rows, or a Python function over texts or rows."""

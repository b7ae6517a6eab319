"""The fast path for JSON Lines: one scan over the bytes, no Python object per row."""

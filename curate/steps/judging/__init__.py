"""Scores that cost money or a GPU: judged once, kept by content, and never lost."""

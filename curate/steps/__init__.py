"""The steps: a base, and one file a step."""

"""Removing duplicates: exact, near, and prompts that another build has."""

"""Takes that say which rows go in: by a score, length, groups, what they add to the others, or a reference."""

"""Takes that say which rows go in: by a score, by length, evenly over groups, or for what they add to the others."""

"""What a row is: its kinds, its identity, and its segments."""

"""Reading fastText models and running them without the GIL."""

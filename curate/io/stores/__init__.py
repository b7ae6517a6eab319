"""Object stores, and all that a driver of fsspec reaches: files come from there once, and builds go there."""

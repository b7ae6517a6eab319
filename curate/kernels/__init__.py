"""Plumbing that every compiled kernel uses: compiling, Arrow buffers, UTF-8, hashes, vectors, hash tables."""

"""Finding many phrases at once: an automaton, and the kernel that runs it over texts."""

"""Letter case: where sentences start, which spans are protected, and how words are usually written."""

"""What a text is about, by lists of words that everyone can read and extend."""

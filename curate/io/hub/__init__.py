"""Data sets on the Hugging Face Hub: which files are asked for, and how they come here."""

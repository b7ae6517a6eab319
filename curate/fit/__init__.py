"""What training will make of a build, known before a GPU is asked for anything: recipes, tokens, rows, steps."""

"""What training will see of a build: chat templates, tokens, lengths, and the machine."""

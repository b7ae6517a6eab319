"""What trainers read that want something else than a build folder."""

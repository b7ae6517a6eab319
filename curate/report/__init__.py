"""What a person sees: pure functions of a build folder."""

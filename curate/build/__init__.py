"""How a mixture becomes a build folder, and how the folder reads back."""

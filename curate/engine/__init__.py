"""The engine: reads sources, runs the steps, decides every row's fate and writes the build folder."""

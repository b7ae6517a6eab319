"""Charts as SVG, drawn from frames: the same bytes everywhere, without script, network or fonts of their own."""

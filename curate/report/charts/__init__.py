"""Charts of the page and the card as SVG: drawn from frames, the same bytes everywhere, without script or fonts."""

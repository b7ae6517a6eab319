"""Two builds held against each other: rows that entered, left and changed, for the terminal, a notebook and a page."""

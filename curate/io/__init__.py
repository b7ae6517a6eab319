"""The one door in and the one door out: formats, readers, and atomic writers."""

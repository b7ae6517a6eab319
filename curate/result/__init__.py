"""A finished build read back: tables, groups' reports, length bias, and the difference between two builds."""

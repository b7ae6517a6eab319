"""How many examples a law is tried on where each costs much, or where each holds many rows."""

from __future__ import annotations

from hypothesis import settings


def part_of_examples(share: float) -> settings:
    """Return settings with a part of the examples of the profile, at least 10, which is what the quick one has."""
    return settings(max_examples=max(10, round(settings().max_examples * share)))

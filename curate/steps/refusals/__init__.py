"""Refusals: dropping rows in which the assistant declines, and cutting refusal phrases out of answers."""

"""Weights from a seed that behave like trained ones, and from others' files."""

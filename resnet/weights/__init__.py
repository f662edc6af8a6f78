"""Weights from a seed that behave like trained ones, trained ones of digits, and from others' files."""

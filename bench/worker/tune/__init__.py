"""Candidates compiled, checked, timed."""

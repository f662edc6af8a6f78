"""Faults planted in the source, each with the tests that have to notice it."""

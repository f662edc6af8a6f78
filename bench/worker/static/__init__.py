"""Kernels compiled and read off; what a case does, counted."""

"""Exact counts that need no clock: of cases, of kernels as compiled."""

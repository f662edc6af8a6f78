"""`kernels facts tune`."""

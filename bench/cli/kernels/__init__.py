"""`kernels counts tune`."""

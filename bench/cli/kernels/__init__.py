"""`kernels counts tune op`."""

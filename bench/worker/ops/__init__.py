"""A user's convolution checked, and timed in turns with the library's and ours."""

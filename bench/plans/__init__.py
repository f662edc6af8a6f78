"""Which cases there are, and which this machine can run."""

"""The pieces and the experiments themselves."""

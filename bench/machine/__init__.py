"""This machine, its software, its commit, and what disturbs it."""

"""A prepared variant's parts timed."""

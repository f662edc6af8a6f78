"""A rented card's quarter of an hour, in order of value, kept as it comes."""

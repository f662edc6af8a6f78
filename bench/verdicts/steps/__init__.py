"""Changes of level in rows of numbers: where, and which are sure."""

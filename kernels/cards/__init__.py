"""What is known of graphics cards, what was measured on them, and where that lies."""

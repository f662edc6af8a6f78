"""What this machine could do at best, and how far a layer is from it."""

"""What one case in one round left: checked, stored, loaded, told alike or not."""

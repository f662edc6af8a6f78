"""`env ceilings floors pieces constants selftest`."""

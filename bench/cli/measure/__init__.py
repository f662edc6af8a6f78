"""`list run verify once ab layers gpu`: a file a command, that asks, calls and prints."""

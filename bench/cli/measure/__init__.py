"""`list run verify accuracy once ab layers sensitivity campaign`: a file a command, that asks, calls and prints."""

"""`list run verify accuracy once ab layers campaign`: a file a command, that asks, calls and prints."""

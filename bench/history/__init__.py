"""When it got slower: the series of cases over commits, their noise, what changed, and what is news."""

"""Did it get slower: the metrics, the rounds, the rule."""

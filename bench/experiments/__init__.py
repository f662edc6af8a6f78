"""What a fresh card is asked first: do the pieces work that networks are made of, and what are its constants?

`lists` says which, `parts` runs them, each a fault domain of its own; the rest runs in a child.
"""

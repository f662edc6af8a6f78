"""What a fresh card is asked first, by name; each part costs only itself.

`lists` says which, `parts` runs them, each a fault domain of its own; the rest runs in a child.
"""

"""Data sheets and architectures of graphics cards, constants measured on them, and the paths of their results.

Nouns: `Card` (a row of the one table of cards), `Arch` (an architecture's limits), `Constants`, places. It needs the
standard library only, and imports no other room.
"""

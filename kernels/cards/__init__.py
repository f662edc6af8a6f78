"""Data sheets and architectures of graphics cards, measured constants, paths of results; files written and read.

Nouns: `Card` (a row of the one table of cards), `Arch` (an architecture's limits), `Constants`, places. It needs the
standard library only, and imports no other room.
"""

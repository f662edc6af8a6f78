"""What is known of graphics cards, what was measured on them, and where that lies.

Nouns: `Card` (a row of the one table of cards), `Arch` (what an architecture gives a block), `Constants`, places.
Standard library only: no torch, and nothing else of this package.
"""

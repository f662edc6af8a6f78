"""Kernels compiled without a GPU: read off, checked for hazards, bundled.

Nouns: `Emitted` (what the compiler made of a launch), hazards, `Bundle` (kernels compiled beforehand, in a file). It
may import `kernels` and `kernels.cards`, and torch; `bundle` does without.
"""

"""Kernels that `bench constants` measures, to say which is worth making next: no network uses them.

Nouns: `Cut` (how the Gluon kernel is cut). It may import `kernels`, `kernels.space` and torch.
"""

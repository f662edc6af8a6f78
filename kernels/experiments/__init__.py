"""Experimental kernels that `bench constants` measures, to show which are worth developing: no network uses them.

Nouns: `Cut` (the Gluon kernel's configuration). It may import `kernels`, `kernels.space` and torch.
"""

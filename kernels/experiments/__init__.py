"""Experimental kernels, which no network uses; `bench constants` measures whether they are worth developing.

Nouns: `Cut` (the Gluon kernel's configuration). It may import `kernels`, `kernels.space` and torch.
"""

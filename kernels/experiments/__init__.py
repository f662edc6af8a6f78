"""An experimental kernel that `bench constants` measures, to show whether it is worth developing: no network uses it.

Nouns: `Cut` (the Gluon kernel's configuration). It may import `kernels`, `kernels.space` and torch.
"""

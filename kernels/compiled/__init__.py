"""Kernels compiled without a GPU: facts of their machine code, checks for hazards, bundles.

Nouns: `KernelFacts` (registers, instructions and the like of a compiled kernel), hazards, `Bundle` (kernels compiled
ahead of time, in a file). It may import `kernels` and `kernels.cards`, and torch; only `emit` needs torch and Triton.
"""

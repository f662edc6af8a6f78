"""Kernels compiled without a GPU: read off, checked for hazards, bundled."""

"""The same steps by the vendor library's own fused calls."""

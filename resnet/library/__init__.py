"""The same steps by the vendor library's fused calls; a network in 8 bits by oneDNN's."""

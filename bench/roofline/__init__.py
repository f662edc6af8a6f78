"""The rates of this machine at best, and each layer's distance from them."""

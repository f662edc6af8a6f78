"""Which configuration of a layer is tried when; what came of it."""

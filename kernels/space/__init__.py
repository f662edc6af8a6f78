"""How a layer may be cut, in what order that is worth trying: arithmetic without torch."""

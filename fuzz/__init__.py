"""How inputs are made and broken: overlays over tapes, strategies, the comparison of the twins."""

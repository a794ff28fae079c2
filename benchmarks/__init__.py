"""How fast the engine is, beside the peers and by itself, in one run: ``make bench``."""

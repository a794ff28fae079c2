"""How fast the engine is, as ratios against PostgreSQL itself in the same run: ``make bench``."""

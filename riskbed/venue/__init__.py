"""A rule book read rather than run: is it solvent by construction, in what do two differ, what does it say with its defaults."""

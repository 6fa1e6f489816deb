"""The model: every mechanism in plain Python, exact and recomputed from scratch. The engine must agree with it byte for byte."""

"""What venues publish, read into rows of a rule book. The data stays where it is."""

"""What things cost. Every benchmark is a module with --json; ratios are taken within one run."""

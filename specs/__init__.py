"""What must be true: records, rule books, fault plans, laws and the slow, obvious twin of the engine."""

"""Keys at rest and the transactions that a person signs."""

"""Datasets as committed bytes: reading and splitting them, opening them, and the order examples are seen in."""

"""Which work is replayed, and what a replay can come to."""

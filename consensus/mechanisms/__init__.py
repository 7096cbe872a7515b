"""Ways to earn the right to append a block. Each is one folder and one registry line; none imports another."""

"""The ground the records stand on: bounded integers, the one codec, digests and Merkle trees."""

"""The provider's side of proof of storage: sealing a piece, unsealing it, and proving the sealed copy."""

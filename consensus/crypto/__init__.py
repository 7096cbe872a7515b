"""Keys and signatures. Ed25519 over domain-tagged canonical bytes that include the chain id."""

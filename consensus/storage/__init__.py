"""How a replica is sealed, committed to, challenged and judged: what the ledger and the spot checks decide with."""

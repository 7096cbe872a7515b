"""What a node keeps: chain, ledger, waiting transactions, signed reports and artifacts, all of it crash-safe."""

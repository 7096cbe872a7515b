"""Golden vectors: what another implementation has to agree with. `python -m tests.vectors.build` writes them anew."""

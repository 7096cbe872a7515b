"""How a chain starts, how hard its next block is, and whether a block may follow its tip."""

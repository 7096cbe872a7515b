"""Why a block is final, and the randomness that its finality releases."""

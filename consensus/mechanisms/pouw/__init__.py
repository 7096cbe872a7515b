"""Proof of useful work: the steps of a training slot give the nonces of a block that was committed to beforehand."""

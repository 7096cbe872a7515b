"""Blocks the committee appends by signature when no proof of work can come. They earn nothing."""

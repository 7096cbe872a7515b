"""Producing what mining needs: reports, templates, seals. Judging them is for consensus.mechanisms."""

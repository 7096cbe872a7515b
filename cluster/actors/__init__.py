"""Thin Ray shells: each actor holds one plain object from cluster.node and forwards. No decision is made here."""

"""The rules: pure functions over integers and canonical bytes. No torch, ray, lmdb, clock, chance, files or network."""

"""Decisions without actions: pure functions from (state, event, time) to (state, effects); actors carry them out."""

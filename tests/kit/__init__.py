"""Builders of valid things, so that a test can break exactly one."""

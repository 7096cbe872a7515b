"""Runs before any test module is imported: the portable replay class has to be set before torch is."""

from jobs.determinism import PORTABLE, configure

configure(PORTABLE)

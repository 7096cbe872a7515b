"""Runs before any test module is imported: the portable replay class has to be set before torch is."""

from hypothesis import settings

from jobs.determinism import PORTABLE, configure

configure(PORTABLE)
settings.register_profile("pouw", deadline=None)  # a busy machine is no failure
settings.load_profile("pouw")

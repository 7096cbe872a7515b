"""Runs before any test module is imported: the portable replay class has to be set before torch is."""

import signal

from hypothesis import settings

from jobs.determinism import PORTABLE, configure

configure(PORTABLE)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("pouw", deadline=None)  # a busy machine is no failure
settings.load_profile("pouw")

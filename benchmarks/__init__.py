"""What the project measures about itself: ratios of two things in one run on one machine, and a few plain times.

    make bench                      everything, serious (about a quarter of an hour on a quiet machine)
    make bench ONLY=digest_gb_s     one figure, serious
    make bench QUICK=1              everything, briefly: shows that it works, not how fast

Each module named in `suite` opens with what it compares and why that is fair. It runs in a process of its own, so
that neither memory nor threads nor an imported torch are carried from one measurement to the next.
"""

"""Words for what replay found."""

from cluster.cli.output import clean, note, say
from cluster.node.audit import AuditView, VerifyView


def print_audit(view: AuditView) -> None:
    """How many sampled slots matched."""
    say(f"{view.sampled} slots sampled: {view.match} match, {view.mismatch} differ, {view.inconclusive} inconclusive")
    for line in view.notes:
        note(clean(line))
    if view.inconclusive:
        note("inconclusive: this machine is of another replay class than the one that trained; see pouw doctor")


def print_verified(view: VerifyView) -> None:
    """Whether the stored chain is valid."""
    verdict = "valid" if view.valid else "NOT VALID"
    say(f"the chain is {verdict}: {view.blocks_checked:,} blocks up to height {view.height:,} checked")
    say(f"{view.slots_replayed:,} slots replayed, {view.seconds:.1f} s")
    if view.fault:
        note(f"fault: {clean(view.fault)}")
    for warning in view.warnings:
        note(f"warning: {clean(warning)}")

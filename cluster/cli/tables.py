"""Views as tables for people. rich is imported when the first table is printed.

Whatever comes from other parties is printed as plain text: no markup, no control characters.
"""

import datetime as dt
import os
import sys
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from cluster.cli.output import clean, say
from cluster.cli.progress import metric_label
from cluster.views import BlockView, JobView, LogLine, MinerView, ProcessView, SiteView

SHORT: Final = 12
_WIDE: Final = 200
"""Columns when stdout is no terminal: a pipe has no width that text should be cut to."""
_MS: Final = 1000


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: AbstractSet[str] = frozenset()
) -> None:
    """A table; columns named in `numbers` are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column != "reason")
    for row in rows:
        table.add_row(*(Text(clean(_text(cell))) for cell in row))
    is_piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    Console(width=_WIDE if is_piped else None).print(table)


def print_site(site: SiteView) -> None:
    """What `pouw status` shows."""
    cluster, chain = site.cluster, site.chain
    say(f"site     {site.address}  {cluster.nodes} nodes, {cluster.miners} miners, {cluster.supervisors} supervisors")
    say(f"chain    height {chain.height}, tip {chain.tip[:SHORT]}, {chain.pending_transactions} transactions waiting")
    if chain.fixed_beacon:
        say("warning  the start beacon is fixed: jobs are reproducible, but not unpredictable")
    print_jobs(site.jobs)
    if site.processes:
        print_processes(site.processes)


def print_jobs(jobs: Sequence[JobView]) -> None:
    """Jobs, one a line."""
    if not jobs:
        say("no jobs; submit one with: pouw submit FILE")
        return
    rows = (
        (
            job.job_id[:SHORT],
            job.name,
            job.state,
            f"{job.round}/{job.rounds}",
            job.loss,
            ", ".join(f"{metric_label(name)} {value:.4f}" for name, value in sorted(job.metrics.items())),
            job.miners,
            job.blocks,
            job.paid,
            job.reason,
        )
        for job in jobs
    )
    columns = ("job", "name", "state", "round", "loss", "metrics", "miners", "blocks", "paid", "reason")
    print_table(columns, rows, frozenset({"round", "loss", "miners", "blocks", "paid"}))


def print_processes(processes: Sequence[ProcessView]) -> None:
    """Every role's process."""
    rows = ((each.role, each.pid, each.node, each.state) for each in processes)
    print_table(("role", "pid", "node", "state"), rows, frozenset({"pid"}))


def print_miners(miners: Sequence[MinerView]) -> None:
    """Miners, one a line."""
    if not miners:
        say("no miners; start some with: pouw scale 2")
        return
    rows = (
        (
            each.name or each.miner[:SHORT],
            each.pid,
            each.node,
            each.device,
            each.state,
            each.job[:SHORT] if each.job else "",
            f"{each.slots_verified}/{each.slots_run}",
            each.slots_unsettled,
            each.blocks,
            each.credits,
            "; ".join(filter(None, (each.reason, each.unpaid and f"unpaid: {each.unpaid}"))),
        )
        for each in miners
    )
    columns = ("miner", "pid", "node", "device", "state", "job", "paid/run", "unpaid", "blocks", "credits", "reason")
    print_table(columns, rows, frozenset({"pid", "paid/run", "unpaid", "blocks", "credits"}))


def print_blocks(blocks: Sequence[BlockView]) -> None:
    """Blocks, one a line."""
    rows = (
        (
            block.height,
            block.hash[:SHORT],
            dt.datetime.fromtimestamp(block.time_ms / _MS, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
            block.mechanism,
            block.producer[:SHORT],
            block.job[:SHORT] if block.job else "",
            block.round,
            block.slot,
            ", ".join(block.transactions),
        )
        for block in blocks
    )
    columns = ("height", "hash", "time (UTC)", "mechanism", "producer", "job", "round", "slot", "transactions")
    print_table(columns, rows, frozenset({"height", "round", "slot"}))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair a line."""
    listed = [(name, clean(_text(value))) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        say(f"{name:<{width}}  {value}")


def print_log_line(line: LogLine) -> None:
    """One line of the site's log."""
    where = f" {line.job[:SHORT]}" if line.job else ""
    where += f" round {line.round}" if line.round is not None else ""
    where += f" slot {line.slot}" if line.slot is not None else ""
    say(clean(f"{line.time} {line.level:<7} {line.role}{where}: {line.message}"))


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)

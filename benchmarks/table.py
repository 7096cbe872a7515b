"""The printed table: budget, measured value, whether the one keeps the other."""

from collections.abc import Mapping, Sequence

from benchmarks.child import Value
from benchmarks.suite import Figure


def render(figures: Sequence[Figure], measured: Mapping[str, Value], *, quick: bool) -> str:
    """One line a figure. A figure that could not be measured has a dash."""
    rows = [("figure", "budget", "measured", "ok", "what")]
    rows += [_row(figure, measured.get(figure.name)) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    ]
    note = ["", "quick run: it shows that the benchmarks work, the numbers mean little"] if quick else []
    return "\n".join(["", *lines, *note, ""])


def _row(figure: Figure, value: Value | None) -> tuple[str, str, str, str, str]:
    sign = ">=" if figure.side == "at least" else "<="
    budget = f"{sign} {figure.budget:g}" if figure.budget else "none"
    if not isinstance(value, int | float):
        return figure.name, budget, "-", "-", figure.meaning
    return figure.name, budget, f"{value:.4g}", "yes" if figure.is_met(value) else "NO", figure.meaning

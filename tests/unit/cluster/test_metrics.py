"""The catalogue of metrics: names, and the page that explains them."""

import re
from pathlib import Path

import pytest

from cluster.metrics import CATALOGUE, Kind, Metric

PAGE = (Path(__file__).parents[3] / "docs" / "METRICS.md").read_text()


def row(metric: Metric) -> str:
    labels = ", ".join(metric.labels) or "-"
    return f"| `{metric.exported}` | {metric.kind.value} | {labels} | {metric.role} | {metric.says} |"


def test_the_page_explains_every_metric_and_no_other() -> None:
    listed = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert listed == [row(metric) for metric in CATALOGUE]
    assert set(re.findall(r"ray_pouw_\w+", PAGE)) == {metric.exported for metric in CATALOGUE}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_names_follow_the_custom_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"pouw_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(metric.bounds)


def test_every_metric_is_measured_somewhere() -> None:
    sources = [path.read_text() for path in (Path(__file__).parents[3] / "cluster").rglob("*.py")]
    constants = {
        name: value for name, value in vars(__import__("cluster.metrics").metrics).items() if value in CATALOGUE
    }
    for name in constants:
        assert any(re.search(rf"\.(add|set|observe)\({name}\b", text) for text in sources), name
    assert len(constants) == len(CATALOGUE) == len({metric.name for metric in CATALOGUE})

"""Measurements through ray.util.metrics: every process hands them to its node's agent, which serves them to Prometheus.

A call takes some microseconds and sends nothing itself. One `RayMeters` a process.
"""

from dataclasses import dataclass, field

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from cluster.metrics import CATALOGUE, Kind, Metric


@dataclass(slots=True, kw_only=True)
class RayMeters:
    """Implements cluster.metrics.Meters for the metrics of one role."""

    role: str
    _counters: dict[str, Counter] = field(default_factory=dict)
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    _histograms: dict[str, Histogram] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for metric in (each for each in CATALOGUE if each.role == self.role):
            self._register(metric)

    def _register(self, metric: Metric) -> None:
        match metric.kind:
            case Kind.COUNTER:
                self._counters[metric.name] = Counter(metric.name, metric.says, tag_keys=metric.labels)
            case Kind.GAUGE:
                self._gauges[metric.name] = Gauge(metric.name, metric.says, tag_keys=metric.labels)
            case Kind.HISTOGRAM:
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.says, boundaries=list(metric.bounds), tag_keys=metric.labels
                )

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """A counter grows. Ray takes no growth by nothing."""
        if amount > 0:
            self._counters[metric.name].inc(amount, tags=labels)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """A gauge has a new value."""
        self._gauges[metric.name].set(value, tags=labels)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """A histogram gets a value."""
        self._histograms[metric.name].observe(value, tags=labels)


def metrics_addresses() -> tuple[str, ...]:
    """Where Prometheus reads the metrics of each living node."""
    return tuple(
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in ray.nodes()
        if node["Alive"]
    )

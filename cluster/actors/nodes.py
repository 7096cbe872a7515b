"""The nodes of the site as Ray knows them, and where the next miner goes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import ray

from cluster.control.placement import PLACE, HeadUse, NodeFacts, choose_node, places_to_ask_for
from cluster.launch.site_card import LABEL, ON_DEMAND_LABEL, own_site_card

_UNLIMITED: Final = 4096


def own_address() -> str:
    """The address of the node this process runs on."""
    return str(ray.util.get_node_ip_address())


def own_node() -> str:
    """The id of that node."""
    return str(ray.get_runtime_context().get_node_id())


@dataclass(slots=True, kw_only=True)
class Places:
    """Where miners may run. Belongs to a process on the head's node."""

    head_use: HeadUse
    autoscaled: int = 0
    """Miners that have a place when the cluster's autoscaler has brought up every machine it can."""
    _label: str | None = None
    _asked: int = 0

    def nodes(self) -> list[NodeFacts]:
        """Every living node."""
        head = own_node()
        return [self._facts(node, head) for node in ray.nodes() if node["Alive"]]

    def choose(self, taken: Iterable[str]) -> NodeFacts | None:
        """The node for one more miner; None while there is no place. `taken` has the address of each miner's node."""
        nodes, on_address = self.nodes(), Counter(taken)
        return choose_node(nodes, {node.node_id: on_address[node.address] for node in nodes}, self.head_use)

    def ask_for(self, miners: int) -> None:
        """Ask the cluster's autoscaler, if it has one, for places for so many miners. It goes on asking by itself."""
        wanted = places_to_ask_for(miners, self.head_use)
        if wanted == self._asked:
            return
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=[{PLACE: 1}] * wanted)
        self._asked = wanted

    def _facts(self, node: dict[str, object], head: str) -> NodeFacts:
        import psutil

        node_id, resources, labels = str(node["NodeID"]), node["Resources"], node["Labels"]
        if not isinstance(resources, dict) or not isinstance(labels, dict):
            resources, labels = {}, {}
        is_head, offered = node_id == head, int(resources.get("CPU", 0))
        return NodeFacts(
            node_id=node_id,
            address=str(node["NodeManagerAddress"]),
            places=_UNLIMITED if is_head else offered,
            cores=max(1, psutil.cpu_count() or 1 if is_head else offered),
            is_head=is_head,
            is_admitted=labels.get(LABEL) == self._site_label(),
            is_on_demand=ON_DEMAND_LABEL in labels,
        )

    def _site_label(self) -> str:
        if self._label is None:
            card = own_site_card()
            self._label = None if card is None else card.label
        return self._label or ""

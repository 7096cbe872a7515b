"""On which node a miner is started. A pure choice from what is known of the nodes.

A node is taken only if it was admitted: what decides the bits of training is the same there as on the site's own node.
The head's node holds keys, chain and verifier, so it takes miners only while it is alone, unless the operator says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PLACE: Final = "pouw_place"
"""What Ray calls a place for a miner on a machine that has joined; the head's machine offers none."""


class HeadUse(StrEnum):
    """When the head's node takes miners."""

    ALONE = "alone"
    """While no other node was admitted."""
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A living node of the site."""

    node_id: str
    address: str
    places: int
    """Miners it takes at most: the cores it offers."""
    cores: int
    is_head: bool = False
    is_admitted: bool = True
    is_on_demand: bool = False
    """Whether it is ended when no miner runs there, so that it can keep nothing."""


def choose_node(nodes: Iterable[NodeFacts], miners_on: Mapping[str, int], head_use: HeadUse) -> NodeFacts | None:
    """The node with the fewest miners for its cores after one more; None if there is no place for a miner now.

    `miners_on` counts the miners of each node id.
    """
    usable = usable_nodes(nodes, head_use)
    free = [node for node in usable if miners_on.get(node.node_id, 0) < node.places]
    return min(free, key=lambda node: ((miners_on.get(node.node_id, 0) + 1) / node.cores, node.address), default=None)


def usable_nodes(nodes: Iterable[NodeFacts], head_use: HeadUse) -> list[NodeFacts]:
    """The nodes that miners may run on."""
    admitted = [node for node in nodes if node.is_admitted or node.is_head]
    others = [node for node in admitted if not node.is_head]
    takes_head = head_use is HeadUse.ALWAYS or (head_use is HeadUse.ALONE and not others)
    return admitted if takes_head else others


def places_to_ask_for(desired: int, head_use: HeadUse) -> int:
    """How many places on other machines an autoscaler is asked to provide, those that are there included.

    None while the head's machine takes miners: it has room for all of them.
    """
    return desired if head_use is HeadUse.NEVER else 0

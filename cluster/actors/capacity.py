"""What the machines of a running site have left for miners: the input of cluster.control.capacity."""

from collections import Counter
from collections.abc import Sequence

import psutil
import ray

from cluster.actors.nodes import Places, own_address
from cluster.control.capacity import MINER_BYTES, Room
from cluster.control.placement import usable_nodes


def measure_rooms(places: Places, taken: Sequence[str], miner_bytes: int) -> list[Room]:
    """Every machine that takes miners. `taken` has the address of each miner's node.

    The memory of this machine is what is available now; of others, what their Ray offers less what their miners take.
    """
    on_address, home = Counter(taken), own_address()
    offered = {node["NodeID"]: int(node["Resources"].get("memory", 0)) for node in ray.nodes() if node["Alive"]}
    rooms: list[Room] = []
    for node in usable_nodes(places.nodes(), places.head_use):
        miners = on_address[node.address]
        free = offered.get(node.node_id, 0) - miners * miner_bytes
        if node.address == home:
            free = int(psutil.virtual_memory().available)
        rooms.append(
            Room(address=node.address, miners=miners, places=node.places, cores=node.cores, free_bytes=max(0, free))
        )
    return rooms


def measure_miner_bytes(pids: Sequence[int]) -> int:
    """Memory of the largest of these processes of this machine that no other one shares."""
    sizes = [MINER_BYTES]
    for pid in pids:
        try:
            sizes.append(int(psutil.Process(pid).memory_full_info().uss))
        except psutil.Error:
            continue  # it ended, or runs elsewhere
    return max(sizes)

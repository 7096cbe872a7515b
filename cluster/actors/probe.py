"""Looks at every node of the site from within: what decides the bits there, its clock, memory, disk and GPUs."""

import asyncio
import shutil
import time
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.actors.nodes import Places
from cluster.actors.remote import cause_of
from cluster.config import home_from_environment
from cluster.control.placement import NodeFacts
from cluster.errors import ConflictError
from cluster.launch.resources import available_memory, disk_place
from cluster.launch.site_card import SiteCard, check_card, describe_site, own_site_card
from cluster.views import NodeView
from jobs.errors import DeterminismError
from jobs.machine import describe_gpus, describe_machine

_ANSWER_S: Final = 60.0
_MS: Final = 1000


async def view_nodes(places: Places) -> tuple[NodeView, ...]:
    """Every living node, in the order of addresses; one that does not answer says so in `difference`."""
    site = own_site_card()
    nodes = sorted(await asyncio.to_thread(places.nodes), key=lambda node: node.address)
    return () if site is None else tuple(await asyncio.gather(*(_view(node, site) for node in nodes)))


async def _view(node: NodeFacts, site: SiteCard) -> NodeView:
    known = NodeView(address=node.address, is_head=node.is_head, takes_miners=node.is_admitted or node.is_head)
    try:
        own, gpus, memory, disk = await _on(node, _measure, site.chain_id, site.machine.replay_class)
        skew_ms, uncertain_ms = await _clock_skew(node)
    except (ray.exceptions.RayError, TimeoutError, DeterminismError) as error:
        return known.failed(f"does not answer: {cause_of(error)}", "pouw down --node there, then pouw join again")
    seen = known.measured(gpus=gpus, memory_bytes=memory, disk_bytes=disk, skew_ms=skew_ms, uncertain_ms=uncertain_ms)
    try:
        check_card(site, own)
    except ConflictError as error:
        return seen.failed(error.message, error.hint)
    return seen


async def _clock_skew(node: NodeFacts) -> tuple[int, int]:
    """How far the node's clock is ahead of this one, and how exactly that is known, in milliseconds."""
    before = _now_ms()
    there = await _on(node, _now_ms)
    after = _now_ms()
    return there - (before + after) // 2, (after - before + 1) // 2


async def _on(node: NodeFacts, function: Any, *arguments: object) -> Any:  # whatever the function returns
    place = NodeAffinitySchedulingStrategy(node_id=node.node_id, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=place)
    return await asyncio.wait_for(task.remote(*arguments), _ANSWER_S)


def _measure(chain_id: bytes, replay_class: str) -> tuple[SiteCard, tuple[str, ...], int, int]:
    from consensus.primitives.integers import Digest

    card = describe_site(Digest(chain_id), describe_machine(replay_class))
    return card, describe_gpus(), available_memory(), shutil.disk_usage(disk_place(home_from_environment())).free


def _now_ms() -> int:
    return int(time.time() * _MS)  # noqa: TID251 - the clock itself is what is looked at

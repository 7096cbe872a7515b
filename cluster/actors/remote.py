"""Small things that every shell needs of Ray: finding actors by name, and the error behind Ray's wrapper."""

from typing import Any, TypeAlias

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.actors.names import NAMESPACE

Handle: TypeAlias = Any
"""A Ray actor handle; Ray gives it no type that says which methods it has."""


def spawn(
    kind: type[Any],
    name: str,
    *,
    options: dict[str, Any],
    is_detached: bool = False,
    node_id: str | None = None,
    **arguments: object,
) -> Handle:
    """Start an actor under a name, or take the one that has it.

    A detached one outlives the process that started it. It runs, and restarts, on one node only: `node_id`, or that of
    the caller, where the files of the site's home are.
    """
    named: dict[str, Any] = {"name": name, "namespace": NAMESPACE, "get_if_exists": True}
    if is_detached:
        named["lifetime"] = "detached"
    node = node_id or ray.get_runtime_context().get_node_id()
    named["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(**options)(kind).options(**named).remote(name=name, **arguments)


def find_actor(name: str) -> Handle | None:
    """The handle of a named actor of this site, or None while there is none."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def require_actor(name: str) -> Handle:
    """The handle of a named actor of this site.

    Raises:
        ray.exceptions.RayError: it is not there (yet, or any more).
    """
    handle = find_actor(name)
    if handle is None:
        raise ray.exceptions.RayError(f"there is no actor {name}")
    return handle


def cause_of(error: BaseException) -> BaseException:
    """What was raised on the other side, where Ray wrapped it."""
    return error.cause if isinstance(error, ray.exceptions.RayTaskError) else error

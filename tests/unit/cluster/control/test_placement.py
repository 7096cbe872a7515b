"""Miners are spread over admitted nodes by their cores; the head's node takes them only while it is alone."""

from collections import Counter

import pytest

from cluster.control.placement import HeadUse, NodeFacts, choose_node, places_to_ask_for


def node(number: int, cores: int = 4, *, is_head: bool = False, is_admitted: bool = True) -> NodeFacts:
    places = 4096 if is_head else cores
    address = f"127.0.0.{number}"
    return NodeFacts(
        node_id=f"n{number}", address=address, places=places, cores=cores, is_head=is_head, is_admitted=is_admitted
    )


def spread(nodes: list[NodeFacts], count: int, head_use: HeadUse = HeadUse.ALONE) -> Counter[str]:
    on: Counter[str] = Counter()
    for _ in range(count):
        chosen = choose_node(nodes, on, head_use)
        if chosen is None:
            break
        on[chosen.node_id] += 1
    return on


HEAD = node(2, is_head=True)


def test_the_head_alone_takes_any_number() -> None:
    assert spread([HEAD], 80) == {"n2": 80}


def test_miners_go_to_the_others_by_their_cores() -> None:
    assert spread([HEAD, node(3, 2), node(4, 4), node(5, 8)], 7) == {"n3": 1, "n4": 2, "n5": 4}


def test_full_machines_take_no_more() -> None:
    assert spread([HEAD, node(3, 2), node(4, 1)], 9) == {"n3": 2, "n4": 1}


@pytest.mark.parametrize(("use", "expected"), [(HeadUse.ALWAYS, {"n2": 2, "n3": 2}), (HeadUse.NEVER, {"n3": 4})])
def test_the_operator_decides_about_the_head(use: HeadUse, expected: dict[str, int]) -> None:
    assert spread([HEAD, node(3)], 4, use) == expected


def test_a_head_that_is_never_used_waits_for_machines() -> None:
    assert choose_node([HEAD], {}, HeadUse.NEVER) is None


def test_a_node_that_was_not_admitted_gets_nothing_and_does_not_empty_the_head() -> None:
    assert spread([HEAD, node(3, is_admitted=False)], 3) == {"n2": 3}
    assert spread([HEAD, node(3, is_admitted=False), node(4)], 3) == {"n4": 3}


def test_an_autoscaler_is_asked_for_places_only_where_the_head_takes_no_miners() -> None:
    assert places_to_ask_for(5, HeadUse.NEVER) == 5
    assert places_to_ask_for(0, HeadUse.NEVER) == 0
    assert [places_to_ask_for(5, use) for use in (HeadUse.ALONE, HeadUse.ALWAYS)] == [0, 0]

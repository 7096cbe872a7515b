"""The rules still compute what the golden vectors say. `python -m tests.vectors.build` rebuilds them."""

import json

import pytest

from consensus.chain.acceptance import check_block
from consensus.chain.genesis import genesis_beacon, genesis_state
from consensus.chain.view import advance_view, open_view
from consensus.finality.certificate import check_certificate, derive_beacon
from consensus.primitives.encoding import decode
from consensus.records.block import Certificate
from consensus.records.genesis import Genesis
from tests.vectors.build import BUILDERS, FOLDER, render
from tests.vectors.chain import build_chain


@pytest.mark.parametrize("name", BUILDERS)
def test_rebuilds_to_the_same_text(name: str) -> None:
    assert render(name) == (FOLDER / f"{name}.json").read_text(encoding="ascii")


def test_no_vector_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BUILDERS)


def test_the_stored_chain_is_valid_from_its_bytes_alone() -> None:
    stored = json.loads((FOLDER / "chain.json").read_text(encoding="ascii"))
    genesis = decode(bytes.fromhex(stored["genesis"]), Genesis)
    beacons = {0: genesis_beacon(genesis.chain_id)}
    view = open_view(genesis=genesis, state=genesis_state(genesis), work=build_chain().work, beacon=beacons.get)
    for height, item in enumerate(stored["blocks"], 1):
        candidate = check_block(bytes.fromhex(item["block"]), view, 2**62)
        certificate = decode(bytes.fromhex(item["certificate"]), Certificate)
        previous = beacons[height - 1]
        check_certificate(certificate, candidate.block, genesis.supervisors, genesis.chain_id, previous)
        beacons[height] = derive_beacon(certificate, previous)
        view = advance_view(view, candidate.block, candidate.state)
        assert (view.tip_hash.hex(), beacons[height].hex()) == (item["hash"], item["beacon"])
    assert {key.hex(): value.hex() for key, value in view.state.entries()} == stored["entries"]

"""Fetching weights: cut off and gone on with, wrong bytes, one file or a folder."""

from functools import partial
from pathlib import Path

import msgspec
import pytest
from safetensors import safe_open

from cluster.client.download import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    FetchView,
    WeightsError,
    fetch_artifact,
    fetch_weights,
)
from cluster.errors import ClusterError, UsageError
from consensus.primitives.digest import CHUNK_BYTES, chunk_count
from jobs.export import read_safetensors
from jobs.layout import derive_layout, state_digest
from tests.kit import memory_site
from tests.kit.memory_site import JOB_ID, LAYOUT, STATE, STATE_DIGEST, WEIGHTS
from tests.kit.served_site import ServedSite

PART = f".w.{STATE_DIGEST[:16]}.part"


def fetch(served: ServedSite, target: Path, digest: str = STATE_DIGEST, **options: object) -> FetchView:
    return fetch_weights(served.client(), JOB_ID, digest, target, lambda _done, _total: None, **options)


def refused(served: ServedSite, target: Path, **options: object) -> str:
    with pytest.raises(ClusterError) as caught:
        fetch(served, target, **options)
    return caught.value.code


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_goes_on_where_the_connection_was_cut(served: ServedSite, tmp_path: Path) -> None:
    assert chunk_count(len(STATE)) == 2
    served.service.cut_after = 1
    assert refused(served, tmp_path / "w") in {"cut-short", "unreachable"}
    assert names(tmp_path) == [PART]
    served.service.cut_after = None
    fetch(served, tmp_path / "w")
    assert served.service.asked_for == [(0, False), (1, False)]
    assert names(tmp_path) == ["w"]
    assert read_safetensors(tmp_path / "w") == (STATE, LAYOUT)


@pytest.mark.parametrize("length", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(STATE) - 1])
def test_goes_on_after_the_last_whole_chunk(served: ServedSite, tmp_path: Path, length: int) -> None:
    (tmp_path / PART).write_bytes(STATE[:length])
    fetch(served, tmp_path / "w")
    assert served.service.asked_for == [(length // CHUNK_BYTES, False)]
    assert read_safetensors(tmp_path / "w") == (STATE, LAYOUT)


@pytest.mark.parametrize("more", [b"", b"what a longer file would have"])
def test_asks_for_nothing_if_all_has_come_already(served: ServedSite, tmp_path: Path, more: bytes) -> None:
    (tmp_path / PART).write_bytes(STATE + more)
    fetch(served, tmp_path / "w")
    assert served.service.asked_for == []
    assert read_safetensors(tmp_path / "w") == (STATE, LAYOUT)


def test_weights_of_whole_chunks_are_complete_without_asking_for_one_more(
    served: ServedSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = derive_layout({"weight": (CHUNK_BYTES // 4,)}, {})
    state = bytes(layout.bytes)
    assert len(state) % CHUNK_BYTES == 0
    digest = state_digest(state, layout).hex()
    monkeypatch.setattr(memory_site, "LAYOUT", layout)
    served.service.state, served.service.last_state_digest = state, digest
    (tmp_path / f".w.{digest[:16]}.part").write_bytes(state)
    assert fetch(served, tmp_path / "w", digest).digest == digest
    assert served.service.asked_for == []


def test_a_damaged_part_is_dropped_and_the_next_call_works(served: ServedSite, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(bytes(CHUNK_BYTES))
    assert refused(served, tmp_path / "w") == "weights"
    assert names(tmp_path) == []
    fetch(served, tmp_path / "w")
    assert served.service.asked_for == [(1, False), (0, False)]


def test_more_bytes_than_were_announced_write_no_file(served: ServedSite, tmp_path: Path) -> None:
    served.service.state = STATE + b"x"
    assert refused(served, tmp_path / "w") in {"weights", "unreachable", "cut-short"}
    assert not (tmp_path / "w").exists()
    served.service.state = STATE
    fetch(served, tmp_path / "w")


def test_the_part_of_other_weights_is_not_gone_on_with(served: ServedSite, tmp_path: Path) -> None:
    other = f".w.{'00' * 8}.part"
    (tmp_path / other).write_bytes(bytes(CHUNK_BYTES))
    fetch(served, tmp_path / "w")
    assert served.service.asked_for == [(0, False)]
    assert names(tmp_path) == [other, "w"]


def test_the_sites_own_copy_can_be_asked_for(served: ServedSite, tmp_path: Path) -> None:
    fetch(served, tmp_path / "w", site_copy=True)
    assert served.service.asked_for == [(0, True)]


def test_a_checkpoint_is_a_folder_with_weights_and_what_they_are(served: ServedSite, tmp_path: Path) -> None:
    view = fetch(served, tmp_path / "made", form="checkpoint")
    assert names(tmp_path) == ["made"]
    assert names(tmp_path / "made") == sorted([WEIGHTS_FILE, DESCRIPTION_FILE])
    assert view.bytes == (tmp_path / "made" / WEIGHTS_FILE).stat().st_size
    assert read_safetensors(tmp_path / "made" / WEIGHTS_FILE) == (STATE, LAYOUT)
    with safe_open(tmp_path / "made" / WEIGHTS_FILE, framework="numpy") as file:
        assert file.metadata()["pouw.job"] == JOB_ID
    about = msgspec.json.decode((tmp_path / "made" / DESCRIPTION_FILE).read_bytes())
    assert about == {"job": JOB_ID, "name": "digits", "state_digest": STATE_DIGEST}


def test_a_checkpoint_that_fails_leaves_no_folder(served: ServedSite, tmp_path: Path) -> None:
    served.service.state = bytes(len(STATE))
    assert refused(served, tmp_path / "made", form="checkpoint") == "weights"
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "form"),
    [("folder", "safetensors"), ("none/w", "safetensors"), ("folder", "checkpoint"), ("file", "checkpoint")],
)
def test_targets_that_cannot_be_written_cost_no_download(
    served: ServedSite, tmp_path: Path, place: str, form: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(UsageError) as caught:
        fetch(served, tmp_path / place, form=form)
    assert caught.value.code == "output"
    assert served.service.asked_for == []
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_file_that_was_there_is_replaced_only_by_checked_weights(served: ServedSite, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"older")
    served.service.state = bytes(len(STATE))
    assert refused(served, tmp_path / "w") == "weights"
    assert (tmp_path / "w").read_bytes() == b"older"
    served.service.state = STATE
    fetch(served, tmp_path / "w")
    assert read_safetensors(tmp_path / "w")[0] == STATE


def test_an_artifact_is_written_as_it_is_and_gone_on_with(served: ServedSite, tmp_path: Path) -> None:
    served.service.cut_after = 1
    fetching = partial(fetch_artifact, served.client(), STATE_DIGEST, tmp_path / "w", lambda _done, _total: None)
    with pytest.raises(ClusterError):
        fetching()
    assert names(tmp_path) == [PART]
    served.service.cut_after = None
    assert fetching().digest == STATE_DIGEST
    assert names(tmp_path) == ["w"]
    assert (tmp_path / "w").read_bytes() == STATE
    assert [first for first, _ in served.service.asked_for] == [0, 1]


def test_an_artifact_of_other_bytes_or_with_another_binding_is_not_written(served: ServedSite, tmp_path: Path) -> None:
    served.service.left = (msgspec.structs.replace(WEIGHTS, binding="00" * 32),)
    with pytest.raises(WeightsError):
        fetch_artifact(served.client(), STATE_DIGEST, tmp_path / "w", lambda _done, _total: None)
    served.service.left, served.service.state = (WEIGHTS,), bytes(len(STATE))
    with pytest.raises(WeightsError):
        fetch_artifact(served.client(), STATE_DIGEST, tmp_path / "w", lambda _done, _total: None)
    assert names(tmp_path) == []

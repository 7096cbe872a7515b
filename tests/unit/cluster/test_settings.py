"""A cluster file is Ray's own; our settings in it are checked by name, kind and range."""

from pathlib import Path

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

from cluster.errors import NotFoundError, UsageError
from cluster.settings import SiteSettings, load_settings, replace_settings

REPOSITORY_FILE = Path(__file__).parents[3] / "cluster.yaml"


def test_the_file_of_the_repository_holds_the_defaults() -> None:
    assert load_settings(REPOSITORY_FILE) == SiteSettings()


def test_ray_accepts_the_file_of_the_repository() -> None:
    validate_config(prepare_config(YAML(typ="safe", pure=True).load(REPOSITORY_FILE)))


def test_reads_settings_and_the_address_of_the_head(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("provider: {type: local, head_ip: 10.0.0.7}\nmetadata: {pouw: {miners: 5, port: 0}}\n")
    assert load_settings(file) == SiteSettings(miners=5, port=0, node_ip="10.0.0.7")


def test_options_replace_what_the_file_says() -> None:
    changed = replace_settings(SiteSettings(miners=5), {"miners": 7, "port": None, "supervisors": 4})
    assert changed == SiteSettings(miners=7, supervisors=4)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("metadata: {pouw: {miner: 3}}", "metadata.pouw.miner: there is no such setting", "did you mean 'miners'?"),
        ("metadata: {pouw: {zzz: 3}}", "zzz", "known are: miners"),
        ("metadata: {pouw: {miners: -1}}", "metadata.pouw.miners: Expected `int` >= 0", ""),
        ("metadata: {pouw: {miners: two}}", "miners: Expected `int`, got `str`", ""),
        ("metadata: {pouw: {beacon: 12ab}}", "beacon", ""),
        ("metadata: {pouw: {client_credits: '1.0000001'}}", "client_credits", ""),
        ("metadata: [1]", "metadata must be a mapping", ""),
        ("metadata:\n  pouw: {miners: 1\n", ":3: not YAML", ""),
        ("a: 1\na: 2\n", "duplicate key", ""),
        ("metadata: !!python/object/apply:os.system ['true']", "not YAML", ""),
    ],
)
def test_refuses_a_mistake_and_says_where(tmp_path: Path, text: str, words: str, hint: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(file)
    assert words in caught.value.message
    assert str(file) in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code == "settings"


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_settings(tmp_path / "none.yaml")

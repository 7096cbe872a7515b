"""A cluster file is Ray's own; our settings in it are checked by name, kind and range."""

from pathlib import Path

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

from cluster.cluster_file import ClusterFile, load_cluster_file
from cluster.errors import NotFoundError, UsageError
from cluster.settings import SiteSettings, SshSettings, WorkerHosts, replace_settings

HEADER = "cluster_name: pouw\nprovider:\n  type: local\n"
REPOSITORY_FILE = Path(__file__).parents[3] / "cluster.yaml"


def test_the_file_of_the_repository_holds_the_defaults() -> None:
    assert load_cluster_file(REPOSITORY_FILE) == ClusterFile()


def test_ray_accepts_the_file_of_the_repository() -> None:
    validate_config(prepare_config(YAML(typ="safe", pure=True).load(REPOSITORY_FILE)))


def test_reads_settings_and_the_address_of_the_head(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(HEADER + "  head_ip: 10.0.0.7\nmetadata: {pouw: {miners: 5, port: 0}}\n")
    assert load_cluster_file(file) == ClusterFile(settings=SiteSettings(miners=5, port=0, node_ip="10.0.0.7"))


def test_reads_the_machines_and_how_to_reach_them(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(
        HEADER + "  head_ip: 10.0.0.7\n  worker_ips: [10.0.0.8, node-9.example]\n"
        "auth: {ssh_user: me, ssh_private_key: k, ssh_proxy_command: nc %h 1}\n"
        "metadata: {pouw: {worker_command: /opt/pouw, ssh_config: c}}\n"
    )
    found = load_cluster_file(file)
    assert found.settings == SiteSettings(node_ip="10.0.0.7", head_miners="never")
    assert found.workers == WorkerHosts(
        addresses=("10.0.0.8", "node-9.example"),
        ssh_user="me",
        ssh_private_key="k",
        ssh_proxy_command="nc %h 1",
        ssh=SshSettings(worker_command="/opt/pouw", ssh_config="c"),
    )


def test_machines_beyond_the_first_are_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    lines = "  head_ip: 10.0.0.7\n  worker_ips: [10.0.0.8, 10.0.0.9, 10.0.0.10]\nidle_timeout_minutes: 2\n"
    file.write_text(HEADER + lines + "metadata: {pouw: {min_workers: 1, worker_cpus: 4}}\n")
    found = load_cluster_file(file)
    assert found.workers is not None
    assert (found.workers.first, found.workers.on_demand) == (("10.0.0.8",), ("10.0.0.9", "10.0.0.10"))
    assert found.workers.idle_timeout_minutes == 2
    assert (found.workers.places, found.settings.autoscaled_miners) == (4, 0)
    file.write_text(HEADER + lines)
    whole = load_cluster_file(file)
    assert whole.workers is not None
    assert (whole.workers.first, whole.workers.on_demand) == (whole.workers.addresses, ())


def test_options_replace_what_the_file_says() -> None:
    changed = replace_settings(SiteSettings(miners=5), {"miners": 7, "port": None, "supervisors": 4})
    assert changed == SiteSettings(miners=7, supervisors=4)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("metadata: {pouw: {miner: 3}}", ":4: metadata.pouw.miner: there is no such setting", "did you mean 'miners'?"),
        ("metadata: {pouw: {zzz: 3}}", "zzz", "known are: miners"),
        ("metadata:\n  pouw:\n    port: 1\n    miners: -1", ":7: metadata.pouw.miners: Expected `int` >= 0", ""),
        ("metadata: {pouw: {miners: two}}", "miners: Expected `int`, got `str`", ""),
        ("metadata: {pouw: {beacon: 12ab}}", "beacon", ""),
        ("metadata: {pouw: {client_credits: '1.0000001'}}", "client_credits", ""),
        ("metadata: {pouw: {worker_command: 3}}", "worker_command: Expected `str`, got `int`", ""),
        ("metadata: {pouw: {min_workers: -1}}", "min_workers: Expected `int` >= 0", ""),
        ("metadata: {pouw: {worker_cpus: 0}}", "worker_cpus: Expected `int` >= 1", ""),
        ("idle_timeout_minutes: -1", ":4: idle_timeout_minutes: -1 is less than the minimum", ""),
        ("metadata: {pouw: 3}", ":4: metadata.pouw: must be a mapping", ""),
        ("metadata: [1]", ":4: metadata: must be a mapping", ""),
        ("metadata:\n  pouw: {miners: 1\n", ":6: not YAML", ""),
        ("auth: 1\nauth: 2\n", "duplicate key", ""),
        ("metadata: !!python/object/apply:os.system ['true']", "not YAML", ""),
        ("max_worker: 3", ":4: max_worker: Ray's cluster file has no such key", "did you mean 'max_workers'?"),
        ("max_workers: many", ":4: max_workers: 'many' is not of type 'integer'", ""),
        ("auth: {ssh_usr: me}", ":4: auth.ssh_usr: Ray's cluster file has no such key", "did you mean 'ssh_user'?"),
        ("  worker_ip: [10.0.0.1]", ":4: provider.worker_ip: the provider", "did you mean 'worker_ips'?"),
        ("  worker_ips:\n  - 10.0.0.1\n  - 10.0.0.1", ":6: provider.worker_ips.1: 10.0.0.1 is listed twice", "once"),
        ("  head_ip: 10.0.0.1\n  worker_ips: [10.0.0.1]", ":5: provider.worker_ips.0: 10.0.0.1 is the head", "remove"),
        ("  worker_ips: 10.0.0.1", ":4: provider.worker_ips: '10.0.0.1' is not of type 'array'", ""),
        ("  worker_ips: [7]", "provider.worker_ips.0: 7 is not an address", ""),
        ("  worker_ips: ['-oProxyCommand=x']", "is not an address", ""),
        ("  worker_ips: ['a b']", "is not an address", ""),
    ],
)
def test_refuses_a_mistake_and_says_where(tmp_path: Path, text: str, words: str, hint: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(HEADER + text)
    with pytest.raises(UsageError) as caught:
        load_cluster_file(file)
    assert words in caught.value.message
    assert str(file) in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code == "settings"


def test_a_cloud_is_left_to_rays_launcher(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster_name: pouw\nprovider: {type: aws, region: eu-central-1}\n")
    with pytest.raises(UsageError, match="'local' only, not 'aws'") as caught:
        load_cluster_file(file)
    assert "ray up" in caught.value.hint


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_cluster_file(tmp_path / "none.yaml")


def test_a_value_that_is_none_of_few_is_told_which_there_are() -> None:
    with pytest.raises(UsageError, match="quantum") as caught:
        replace_settings(SiteSettings(), {"replay_class": "quantum"})
    assert caught.value.hint == "use one of: portable, avx512, native"

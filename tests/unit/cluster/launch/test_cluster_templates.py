"""The templates in examples/cluster: valid for Ray's launcher, and for what KubeRay's resource needs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.testing
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

from cluster.cli.main import build_app
from cluster.cluster_file import load_cluster_file
from cluster.control.placement import PLACE
from cluster.errors import UsageError

FOLDER = Path(__file__).parents[4] / "examples" / "cluster"
_CALL = re.compile(r"\bpouw ([a-z]+)((?: [^|;&>\n]*)?)")


def load_all(name: str) -> list[dict]:
    return list(YAML(typ="safe", pure=True).load_all((FOLDER / name).read_text()))


@pytest.mark.parametrize("name", ["local.yaml", "aws.yaml", "gcp.yaml"])
def test_rays_launcher_accepts_the_template(name: str) -> None:
    validate_config(prepare_config(load_all(name)[0]))


def test_pouw_up_takes_the_local_one_and_leaves_clouds_to_ray() -> None:
    found = load_cluster_file(FOLDER / "local.yaml")
    assert found.workers is not None
    assert len(found.workers.addresses) == 2
    assert (found.settings.tls, found.settings.head_miners) == (True, "never")
    for name in ("aws.yaml", "gcp.yaml"):
        with pytest.raises(UsageError, match="'local' only"):
            load_cluster_file(FOLDER / name)


def here_document(script: str) -> str:
    """The cluster file that a start command writes."""
    body = script.partition("<<EOF\n")[2].partition("EOF\n")[0]
    return re.sub(r'"\$\w+"', '"10.0.0.1"', body)


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_what_a_cloud_head_is_started_with_is_a_cluster_file(name: str, tmp_path: Path) -> None:
    script = next(line for line in load_all(name)[0]["head_start_ray_commands"] if "<<EOF" in line)
    (tmp_path / "site.yaml").write_text(here_document(script))
    settings = load_cluster_file(tmp_path / "site.yaml").settings
    assert (settings.node_ip, settings.head_miners, settings.autoscaler_config is not None) == (
        "10.0.0.1",
        "never",
        True,
    )
    template = load_all(name)[0]
    worker = template["available_node_types"]["worker"]
    assert worker["resources"][PLACE] * template["max_workers"] == settings.autoscaled_miners
    told = typer.testing.CliRunner().invoke(build_app(completion=False), ["join", "--help"]).output
    join = template["worker_start_ray_commands"][-1]
    assert f"$RAY_HEAD_IP:{settings.ray_port}" in join
    for option in re.findall(r"--[a-z-]+", join):
        assert option in told


def containers() -> list[dict]:
    spec = load_all("kuberay.yaml")[0]["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in groups]


def test_the_kuberay_resource_has_what_its_definition_requires() -> None:
    cluster, claim = load_all("kuberay.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    assert spec["rayVersion"] == "2.60.0"
    assert spec["authOptions"] == {"mode": "token"}
    assert cluster["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    assert {"rayStartParams", "template"} <= spec["headGroupSpec"].keys()
    for group in spec["workerGroupSpecs"]:
        assert {"groupName", "rayStartParams", "template"} <= group.keys()
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            assert {
                "name",
                "image",
                "command",
                "args",
                "resources",
                "readinessProbe",
                "livenessProbe",
            } <= container.keys()
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    assert (
        spec["headGroupSpec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        == (claim["metadata"]["name"])
    )


def test_the_commands_of_the_pods_are_shell_and_know_their_options(tmp_path: Path) -> None:
    runner, app = typer.testing.CliRunner(), build_app(completion=False)
    for container in containers():
        script = container["args"][0]
        parsed = subprocess.run(
            [shutil.which("sh") or "sh", "-n"], input=script, text=True, capture_output=True, check=False
        )
        assert parsed.returncode == 0, parsed.stderr
        for command, rest in _CALL.findall(script):
            told = runner.invoke(app, [command, "--help"]).output
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in told
    head = containers()[0]["args"][0]
    (tmp_path / "site.yaml").write_text(here_document(head))
    settings = load_cluster_file(tmp_path / "site.yaml").settings
    assert (settings.ray_port, settings.head_miners) == (6379, "never")
    workers = load_all("kuberay.yaml")[0]["spec"]["workerGroupSpecs"][0]
    assert workers["rayStartParams"]["resources"] == f'"{{\\"{PLACE}\\": {workers["rayStartParams"]["num-cpus"]}}}"'
    assert settings.autoscaled_miners == workers["maxReplicas"] * int(workers["rayStartParams"]["num-cpus"])
    assert containers()[0]["ports"][0]["containerPort"] == settings.ray_port
    assert f"$FQ_RAY_IP:{settings.ray_port}" in containers()[1]["args"][0]

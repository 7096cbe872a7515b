"""Reads `cluster.yaml`: Ray's own cluster file, with the settings of the site under `metadata: pouw:`.

Ray rejects top-level keys that it does not know, so the file is held against Ray's schema here, before anything is
started. Every mistake is reported with file and line, and with what was probably meant.
"""

import difflib
import importlib.util
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cluster.errors import UsageError
from cluster.settings import ScalingSettings, SiteSettings, SshSettings, WorkerHosts, split_mistake
from cluster.views import JsonValue
from cluster.yaml_lines import YamlFile, read_yaml

_SIMILAR: Final = 0.6
_PROVIDER_KEYS: Final = ("type", "head_ip", "worker_ips", "external_head_ip", "coordinator_address", "use_internal_ips")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")
_UNKNOWN: Final = re.compile(r"'(?P<key>[^']+)' (?:was|were) unexpected")

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFile:
    """What a cluster file asks for."""

    settings: SiteSettings = field(default_factory=SiteSettings)
    workers: WorkerHosts | None = None
    """Machines to bring up beside this one."""


def load_cluster_file(path: Path) -> ClusterFile:
    """Read a cluster file; what it does not mention has its default.

    Raises:
        NotFoundError: no such file.
        UsageError: not YAML, not Ray's schema, a key nobody knows, a value out of range, an address twice, or a
            provider whose machines pouw does not start; says where and what was probably meant.
    """
    file = read_yaml(path)
    provider = _section(file, ("provider",))
    ours = dict(_section(file, ("metadata", "pouw")))
    settings, ssh, scaling = _convert(file, ours, provider)
    _check_schema(file)
    if provider and provider.get("type") != "local":
        kind = provider.get("type")
        raise file.mistake(
            ("provider", "type"),
            f"pouw up starts machines of the provider 'local' only, not {kind!r}",
            f"start them with: ray up {path} (docs/LAUNCHING.md)",
        )
    addresses = _worker_addresses(file, provider)
    if not addresses:
        return ClusterFile(settings=settings)
    if "head_miners" not in ours:
        settings = msgspec.structs.replace(settings, head_miners="never")
    auth = _section(file, ("auth",))
    workers = WorkerHosts(
        addresses=addresses,
        ssh_user=_text(file, auth, "ssh_user"),
        ssh_private_key=_text(file, auth, "ssh_private_key"),
        ssh_proxy_command=_text(file, auth, "ssh_proxy_command"),
        ssh=ssh,
        scaling=scaling,
        idle_timeout_minutes=_minutes(file),
    )
    return ClusterFile(settings=settings, workers=workers)


def _convert(
    file: YamlFile, ours: Mapping[str, JsonValue], provider: Mapping[str, JsonValue]
) -> tuple[SiteSettings, SshSettings, ScalingSettings]:
    kinds = (SiteSettings, SshSettings, ScalingSettings)
    of_site, of_ssh, of_scaling = (kind.__struct_fields__ for kind in kinds)
    for key in ours:
        _check_key(file, ("metadata", "pouw", key), (*of_site, *of_ssh, *of_scaling), "there is no such setting")
    site = {key: value for key, value in ours.items() if key in of_site}
    if "node_ip" not in site and "head_ip" in provider:
        site["node_ip"] = provider["head_ip"]
    ssh = {key: value for key, value in ours.items() if key in of_ssh}
    scaling = {key: value for key, value in ours.items() if key in of_scaling}
    return _typed(file, site, SiteSettings), _typed(file, ssh, SshSettings), _typed(file, scaling, ScalingSettings)


def _typed(file: YamlFile, values: Mapping[str, JsonValue], kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(values, type=kind)
    except msgspec.ValidationError as error:
        key, what = split_mistake(error)
        raise file.mistake(("metadata", "pouw", key) if key else ("metadata", "pouw"), what) from error


def _check_schema(file: YamlFile) -> None:
    """What Ray's own launcher would refuse."""
    from jsonschema import Draft7Validator
    from jsonschema.exceptions import best_match

    schema = _ray_schema()
    error = best_match(Draft7Validator(schema).iter_errors(file.values))
    if error is None:
        return
    path = tuple(error.absolute_path)
    unknown = _UNKNOWN.search(error.message) if error.validator == "additionalProperties" else None
    if unknown:
        known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
        _check_key(file, (*path, unknown["key"]), tuple(known), "Ray's cluster file has no such key")
    raise file.mistake(path, error.message.partition("\n")[0], "see docs/LAUNCHING.md")


def _ray_schema() -> dict[str, JsonValue]:
    """Ray's schema, without importing Ray."""
    found = importlib.util.find_spec("ray")
    places = found.submodule_search_locations if found else None
    if not places:
        raise UsageError("Ray is not installed, so the file cannot be checked", hint="pip install pouw again")
    schema: dict[str, JsonValue] = json.loads((Path(places[0]) / "autoscaler" / "ray-schema.json").read_text())
    return schema


def _worker_addresses(file: YamlFile, provider: Mapping[str, JsonValue]) -> tuple[str, ...]:
    for key in provider:
        _check_key(file, ("provider", key), _PROVIDER_KEYS, "the provider 'local' has no such key")
    listed = provider.get("worker_ips") or []
    if not isinstance(listed, list):
        raise file.mistake(("provider", "worker_ips"), f"expected a list of addresses, got {type(listed).__name__}")
    addresses: list[str] = []
    for index, address in enumerate(listed):
        where = ("provider", "worker_ips", index)
        if not isinstance(address, str) or not _HOST.fullmatch(address):
            raise file.mistake(where, f"{address!r} is not an address or name of a machine")
        if address in addresses:
            raise file.mistake(where, f"{address} is listed twice", "a machine is one node: name it once")
        if address == provider.get("head_ip"):
            raise file.mistake(where, f"{address} is the head already", "remove it from worker_ips")
        addresses.append(address)
    return tuple(addresses)


def _section(file: YamlFile, path: Sequence[str]) -> Mapping[str, JsonValue]:
    values: JsonValue = file.values
    for depth, key in enumerate(path):
        if not isinstance(values, dict):
            break
        values = values.get(key)
        if values is None:
            return {}
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise file.mistake(path[: depth + 1], "must be a mapping of names to values")
    return values if isinstance(values, dict) else {}


def _minutes(file: YamlFile) -> float:
    """Ray's own key; its schema has been checked."""
    value = file.values.get("idle_timeout_minutes") if isinstance(file.values, dict) else None
    return float(value) if isinstance(value, int | float) else WorkerHosts(addresses=()).idle_timeout_minutes


def _text(file: YamlFile, values: Mapping[str, JsonValue], key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise file.mistake(("auth", key), f"expected text, got {type(value).__name__}")
    return value


def _check_key(file: YamlFile, path: Sequence[str | int], known: Iterable[str], words: str) -> None:
    key, names = str(path[-1]), tuple(known)
    if key in names:
        return
    close = difflib.get_close_matches(key, names, n=1, cutoff=_SIMILAR)
    raise file.mistake(path, words, f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names)}")

"""What an operator can choose about a site, read from `cluster.yaml` or given as options of `pouw up`.

The file is Ray's own cluster file. Ray rejects top-level keys it does not know, so ours live under `metadata: pouw:`.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from cluster.errors import NotFoundError, UsageError
from cluster.views import JsonValue

DEFAULT_PORT: Final = 8470
"""Taken for the gateway when it is free and no other is asked for."""
_MAX_FILE_BYTES: Final = 256 * 1024
_SIMILAR: Final = 0.6
_FIELD_IN_MESSAGE: Final = re.compile(r"^(?P<what>.*) - at `\$\.(?P<key>\w+)`$")


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything with its default. Crosses from `pouw up` to the background process as JSON."""

    miners: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 2
    supervisors: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Members of the committee; of 3f + 1, f may fail."""
    verifiers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Actors that replay slots for the supervisors."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """Port of the gateway on 127.0.0.1; none: 8470 if it is free, else any free one; 0: any free one."""
    node_ip: str = "127.0.0.2"
    """Address under which other machines of the site reach this one. The default is a loopback address, so no other
    machine can join; 127.0.0.1 itself Ray would replace by the machine's outer address. Ray's own servers bind to every
    address all the same: what keeps others out is Ray's token, and a firewall."""
    head_miners: Literal["alone", "always", "never"] = "alone"
    """When the head's machine takes miners: while it is the only one, always, or never. Keys, chain and verifier are
    there, so it is left alone as soon as others can do the work."""
    network: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "pouw"
    """Name of the chain; part of genesis."""
    block_interval_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 5.0
    """Time the difficulty aims to keep between two proof-of-work blocks."""
    client_credits: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")] = "1000000"
    """Credits the operator's own key starts with."""
    replay_class: Literal["portable", "native"] = "portable"
    """In which the processes of this machine train and replay; a job that asks for the other one is refused."""
    gcs_storage: Literal["memory", "rocksdb"] = "memory"
    """Where Ray's control service keeps its tables. On `rocksdb` (alpha in Ray) it alone is started again when it dies;
    in memory its death costs the whole site a new start from the data directory."""
    beacon: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Fixes the start beacon of every job, for tests and comparisons. The chain says so."""


def load_settings(path: Path) -> SiteSettings:
    """Read the settings of a cluster file; what it does not mention has its default.

    Raises:
        NotFoundError: no such file.
        UsageError: not YAML, a key nobody knows, or a value out of range; says where and what was probably meant.
    """
    document = _load_yaml(path)
    metadata = _mapping(document.get("metadata"), path, "metadata")
    ours = dict(_mapping(metadata.get("pouw"), path, "metadata.pouw"))
    provider = _mapping(document.get("provider"), path, "provider")
    if "node_ip" not in ours and "head_ip" in provider:
        ours["node_ip"] = provider["head_ip"]
    return _convert(ours, path)


def replace_settings(settings: SiteSettings, given: Mapping[str, JsonValue]) -> SiteSettings:
    """Settings with the options of a command in their places; None means not given.

    Raises:
        UsageError: a value is out of range.
    """
    current = msgspec.to_builtins(settings)
    return _convert({**current, **{key: value for key, value in given.items() if value is not None}}, None)


def _convert(values: Mapping[str, JsonValue], path: Path | None) -> SiteSettings:
    where = f"{path}: metadata.pouw." if path else ""
    known = SiteSettings.__struct_fields__
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=_SIMILAR)
            hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"
            raise UsageError(f"{where}{key}: there is no such setting", hint=hint, code="settings")
    try:
        return msgspec.convert(values, type=SiteSettings)
    except msgspec.ValidationError as error:
        found = _FIELD_IN_MESSAGE.match(str(error))
        words = f"{found['key']}: {found['what']}" if found else str(error)
        raise UsageError(f"{where}{words}", code="settings") from error


def _load_yaml(path: Path) -> Mapping[str, JsonValue]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}", hint="name a cluster file, or none at all") from error
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(f"{path} is over {_MAX_FILE_BYTES} bytes", code="settings")
    try:
        document: JsonValue = YAML(typ="safe", pure=True).load(data)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem).partition("\n")[0]
        raise UsageError(f"{path}{line}: not YAML: {problem}", code="settings") from error
    except (YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: not YAML: {type(error).__name__}", code="settings") from error
    return _mapping(document, path, "the file")


def _mapping(value: JsonValue, path: Path, name: str) -> Mapping[str, JsonValue]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{path}: {name} must be a mapping of names to values", code="settings")
    return value

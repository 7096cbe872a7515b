"""What an operator can choose about a site, in `cluster.yaml` (cluster_file) or as options of `pouw up`."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args, get_origin

import msgspec

from cluster.errors import UsageError
from cluster.views import JsonValue

DEFAULT_PORT: Final = 8470
"""Taken for the gateway when it is free and no other is asked for."""
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
    """When the head's machine takes new miners: while it is the only one, always, or never. Keys, chain and verifier
    are there. Miners that were started while it was alone stay until they are scaled down."""
    autoscaled_miners: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 0
    """So many miners have a place when the cluster's autoscaler has brought up every machine that it can. With
    `min_workers` it is worked out; for an autoscaler of a cloud or of KubeRay it has to be said."""
    autoscaler_config: str | None = None
    """A configuration of Ray's autoscaler, such as `ray up` leaves on a head in a cloud: machines come by that."""
    ray_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Port at which other machines join; 0: any free one."""
    network: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "pouw"
    """Name of the chain; part of genesis."""
    block_interval_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 5.0
    """Time the difficulty aims to keep between two proof-of-work blocks."""
    client_credits: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")] = "1000000"
    """Credits the operator's own key starts with."""
    provider_credits: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")] = "100000"
    """Credits the supervisor starts with. It gives the storage providers of this site's machines what they stake."""
    provider_stake: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")] = "100"
    """Credits each provider is given once."""
    storage_gb: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None
    """What each machine offers for the weights of others; none: a tenth of its free disk; 0: nothing."""
    challenge_interval: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 120
    """Blocks between two challenges of a deal; part of genesis."""
    seal_floor_mb: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 32
    """Sealing a piece takes the time of this many MiB at least; part of genesis. Small numbers are for tests: a seal
    must take much longer than a challenge may."""
    replay_class: Literal["portable", "avx512", "native"] = "portable"
    """In which the processes of the site train and replay; a job that asks for another one is refused."""
    gcs_storage: Literal["memory", "rocksdb"] = "memory"
    """Where Ray's control service keeps its tables. On `rocksdb` (alpha in Ray) it alone is started again when it dies;
    in memory its death costs the whole site a new start from the data directory."""
    tls: bool = False
    """Whether Ray's own connections are encrypted, with certificates of an authority that this site makes."""
    beacon: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Fixes the start beacon of every job, for tests and comparisons. The chain says so."""


class SshSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `pouw up cluster.yaml` reaches the other machines, beyond what Ray's `auth` section says."""

    ssh_config: str | None = None
    """A configuration file for ssh in the place of the user's own: port, known hosts, jump hosts."""
    worker_command: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] = "pouw"
    """The command there, as its shell reads it, such as `POUW_HOME=/srv/pouw /opt/pouw/bin/pouw`."""


class ScalingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the other machines `pouw up cluster.yaml` starts at once; the others come when miners need them."""

    min_workers: Annotated[int, msgspec.Meta(ge=0, le=4096)] | None = None
    """So many at once, and always; none: all of them."""
    worker_cpus: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    """Cores that each machine offers, and so miners it takes; none: those of the smallest. Ray reckons with one number
    for machines that are not up yet, so with `min_workers` all of them offer the same."""


class WorkerHosts(msgspec.Struct, frozen=True, kw_only=True):
    """The machines that the launcher makes nodes of the site, and how to reach them."""

    addresses: tuple[str, ...]
    ssh_user: str | None = None
    ssh_private_key: str | None = None
    ssh_proxy_command: str | None = None
    ssh: SshSettings = SshSettings()
    scaling: ScalingSettings = ScalingSettings()
    idle_timeout_minutes: float = 5.0
    """How long a machine beyond the first ones stays without miners."""
    is_encrypted: bool = False
    """Whether they need certificates."""
    chain_id: str = ""
    """The chain they are to work for, once it is known."""

    @property
    def places(self) -> int:
        """Miners for which each of them has a place."""
        return self.scaling.worker_cpus or 1

    @property
    def first(self) -> tuple[str, ...]:
        """Those that are started at once."""
        return self.addresses[: self.scaling.min_workers]

    @property
    def on_demand(self) -> tuple[str, ...]:
        """Those that are started when miners have no place."""
        return self.addresses[len(self.first) :]


def replace_settings(settings: SiteSettings, given: Mapping[str, JsonValue]) -> SiteSettings:
    """Settings with the options of a command in their places; None means not given.

    Raises:
        UsageError: a value is out of range.
    """
    current = msgspec.to_builtins(settings)
    return _convert({**current, **{key: value for key, value in given.items() if value is not None}})


def _convert(values: Mapping[str, JsonValue]) -> SiteSettings:
    try:
        return msgspec.convert(values, type=SiteSettings)
    except msgspec.ValidationError as error:
        key, what = split_mistake(error)
        raise UsageError(f"{key}: {what}" if key else what, hint=_choices(key), code="settings") from error


def _choices(key: str) -> str:
    """What a setting of few values may be; empty for others."""
    kind = next((field.type for field in msgspec.structs.fields(SiteSettings) if field.name == key), None)
    return f"use one of: {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""


def split_mistake(error: msgspec.ValidationError) -> tuple[str, str]:
    """The key that a value is wrong of, if one is named, and what is wrong with it."""
    found = _FIELD_IN_MESSAGE.match(str(error))
    return (found["key"], found["what"]) if found else ("", str(error))

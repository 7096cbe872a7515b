"""A YAML file of a person: its values, and the line of each, so that a mistake can be shown where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster.errors import NotFoundError, UsageError
from cluster.views import JsonValue

_MAX_FILE_BYTES: Final = 256 * 1024
_CODE: Final = "settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """A file whose top level is a mapping."""

    path: Path
    values: dict[str, JsonValue]
    root: Any
    """The node graph of ruamel.yaml; it knows where everything stands."""

    def mistake(self, where: Sequence[str | int], words: str, hint: str = "") -> UsageError:
        """The error to raise about the value (or key) at `where`, such as ("provider", "worker_ips", 1)."""
        name = ".".join(str(part) for part in where)
        line = _line_of(self.root, where)
        place = f"{self.path}:{line}" if line else str(self.path)
        return UsageError(f"{place}: {name}: {words}" if name else f"{place}: {words}", hint=hint, code=_CODE)


def read_yaml(path: Path) -> YamlFile:
    """Read a file of plain values.

    Raises:
        NotFoundError: no such file.
        UsageError: too long, not YAML, or not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}", hint="name a cluster file, or none at all") from error
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(f"{path} is over {_MAX_FILE_BYTES} bytes", code=_CODE)
    try:
        values: JsonValue = YAML(typ="safe", pure=True).load(data)
        root = YAML(typ="safe", pure=True).compose(data)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = str(error.problem).partition("\n")[0]
        raise UsageError(f"{path}{line}: not YAML: {problem}", code=_CODE) from error
    except (YAMLError, RecursionError) as error:
        raise UsageError(f"{path}: not YAML: {type(error).__name__}", code=_CODE) from error
    file = YamlFile(path=path, values={} if values is None else values if isinstance(values, dict) else {}, root=root)
    if values is not None and (not isinstance(values, dict) or not all(isinstance(key, str) for key in values)):
        raise file.mistake((), "the file must be a mapping of names to values")
    return file


def _line_of(node: Any, where: Sequence[str | int]) -> int | None:
    """The line, counted from 1, of what is at `where`; of the nearest thing around it if it is not there."""
    if node is None:
        return None
    mark = node.start_mark
    for part in where:
        found = _child(node, part)
        if found is None:
            break
        mark, node = found
    return int(mark.line) + 1


def _child(node: Any, part: str | int) -> tuple[Any, Any] | None:
    if isinstance(part, int) and node.id == "sequence" and part < len(node.value):
        return node.value[part].start_mark, node.value[part]
    if node.id == "mapping":
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark, value
    return None

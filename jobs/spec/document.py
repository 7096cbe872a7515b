"""A YAML document as plain values, and the line of each of them.

The tree of nodes is walked here instead of being constructed by the library, so nothing in a file can name a type to
build: tags are refused, as are doubled keys and aliases (a few of which can stand for gigabytes).
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from jobs.spec.mistakes import Mistake
from jobs.spec.vocabulary import Path

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"

_STANDARD: Final = "tag:yaml.org,2002:"
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_TOO_MANY_DIGITS: Final = 40
_TAB: Final = "'\\t'"


@dataclass(slots=True)
class Document:
    """What a file says, and where."""

    value: Value = None
    lines: dict[Path, int] = field(default_factory=dict)
    """Line of each place, counted from 1."""
    mistakes: list[tuple[int, Mistake]] = field(default_factory=list)
    """What no value could be made of, with its line."""

    def line(self, path: Path) -> int:
        """The line of a place, or of the nearest one around it that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(text: str) -> Document:
    """Read one YAML document; what is wrong with it is listed in its `mistakes`."""
    document = Document()
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.mistakes.append((mark.line + 1 if mark else 1, Mistake(path=(), message=_syntax(error))))
    except (YAMLError, ValueError) as error:
        document.mistakes.append((1, Mistake(path=(), message=f"not YAML: {_first_line(error)}")))
    except RecursionError:
        document.mistakes.append((1, Mistake(path=(), message="not a job: nested too deeply")))
    else:
        if root is not None:
            _Walk(document).walk_root(root)
    return document


class _Walk:
    """One pass over the nodes of a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen: set[int] = set()

    def walk_root(self, root: Node) -> None:
        try:
            self._document.value = self._walk(root, ())
        except RecursionError:
            self._refuse(root, (), "nested too deeply")

    def _walk(self, node: Node, path: Path) -> Value:
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen or node.anchor:
            return self._refuse(node, path, "anchors and aliases (& and *) are not supported; write the value out")
        self._seen.add(id(node))
        tag = str(node.tag).removeprefix(_STANDARD)
        if isinstance(node, MappingNode) and tag == "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and tag == "seq":
            return [self._walk(each, (*path, number)) for number, each in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, tag, path)
        return self._refuse(node, path, f"the tag {node.tag} is not allowed: a job file holds plain values only")

    def _mapping(self, node: MappingNode, path: Path) -> Value:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self._refuse(key_node, path, "a key must be a word")
            elif key in values:
                first = self._document.lines[(*path, key)]
                self._note(line, (*path, key), f"given twice; the first time in line {first}")
            else:
                self._document.lines[(*path, key)] = line
                values[key] = self._walk(value_node, (*path, key))
        return values

    def _scalar(self, node: ScalarNode, tag: str, path: Path) -> Value:
        text = str(node.value)
        match tag:
            case "null":
                return None
            case "bool":
                return text in _TRUE
            case "int" | "float":
                return self._number(node, text, path, whole=tag == "int")
            case "str" | "timestamp":
                return text
        return self._refuse(node, path, f"the tag {node.tag} is not allowed: a job file holds plain values only")

    def _number(self, node: ScalarNode, text: str, path: Path, *, whole: bool) -> Value:
        plain = text.replace("_", "").lower()
        if len(plain) > _TOO_MANY_DIGITS:
            return self._refuse(node, path, "a number with too many digits")
        try:
            return int(plain, 0) if whole else float(plain.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            return self._refuse(node, path, f"{text} is not a number that can be used here")

    def _refuse(self, node: Node, path: Path, message: str) -> Value:
        """Note a mistake; the value to go on with is null."""
        self._note(node.start_mark.line + 1, path, message)
        return None

    def _note(self, line: int, path: Path, message: str) -> None:
        self._document.mistakes.append((line, Mistake(path=path, message=message)))


def _syntax(error: MarkedYAMLError) -> str:
    problem = error.problem or error.context or "cannot be read"
    if _TAB in problem:
        return "not YAML: a tab is used to indent; use spaces"
    return f"not YAML: {problem}; check the indentation, quotes and brackets here and just above"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

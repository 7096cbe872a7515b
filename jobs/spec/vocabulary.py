"""Which keys and words a job file may use at a place, read off the models themselves so that the two cannot differ.

Validation names a place by keys, list positions and, inside a choice of several models, the name of the chosen one. The
last are not in the file; here they are taken out again.
"""

from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import Tag

from jobs.spec.base import Section
from jobs.spec.job import JobSpec

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a job file."""

    path: Path
    """Keys and positions as they are written."""
    siblings: tuple[str, ...]
    """Keys of the mapping that holds the place."""
    words: tuple[str, ...]
    """Words that may stand at the place, when there is a choice of words or of named sections."""


def find_place(location: Path) -> Place:
    """Follow a location of validation down from the job."""
    annotation: object = JobSpec
    path: list[str | int] = []
    siblings: tuple[str, ...] = ()
    for step in location:
        choices = _choices(annotation)
        if len(choices) > 1 and isinstance(step, str):
            annotation = choices.get(step)
            continue
        path.append(step)
        fields = next(iter(choices.values())).model_fields if choices else {}
        siblings = tuple(fields)
        field = fields.get(step) if isinstance(step, str) else None
        annotation = field.annotation if field else None
    return Place(path=tuple(path), siblings=siblings, words=_words(annotation))


def _choices(annotation: object) -> dict[str, type[Section]]:
    """The sections that may stand where this annotation is, by the name validation gives them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {_own_name(annotation): annotation}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _choices(arguments[0])
        tags = [extra.tag for extra in arguments[1:] if isinstance(extra, Tag)]
        return {tags[0]: next(iter(inner.values()))} if tags and inner else inner
    if origin in (Union, UnionType):
        return {name: section for argument in arguments for name, section in _choices(argument).items()}
    return {}


def _own_name(section: type[Section]) -> str:
    field = section.model_fields.get("name")
    words = _words(field.annotation) if field else ()
    return words[0] if words else section.__name__


def _words(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(str(word) for word in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        literals = tuple(word for argument in get_args(annotation) for word in _words(argument))
        return literals or tuple(_choices(annotation))
    return ()

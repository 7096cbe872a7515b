"""One fixed record of each kind, made from the types of its fields."""

from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from consensus.primitives.encoding import Record
from tests.kit.work import word


def example(kind: type[Record]) -> Record:
    """A record whose every field is set: bytes from the field's name, numbers from its place."""
    hints = get_type_hints(kind, include_extras=True)
    fields = kind.__struct_fields__
    return kind(**{name: _value(hints[name], name, place) for place, name in enumerate(fields)})


def _value(hint: Any, name: str, place: int) -> Any:
    if isinstance(hint, NewType):
        return _value(hint.__supertype__, name, place)
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(parts[0], parts[1], name, place)
    if origin is tuple:
        return tuple(_value(parts[0], f"{name} {number}", number) for number in range(2))
    if origin in (Union, UnionType):
        return _value(next(part for part in parts if part is not NoneType), name, place)
    if issubclass(hint, Record):
        return example(hint)
    if issubclass(hint, Enum):
        return next(iter(hint))
    return {bool: True, int: -place, str: name, bytes: name.encode()}[hint]


def _bounded(base: type, bounds: Meta, name: str, place: int) -> Any:
    if base is bytes:
        size = bounds.min_length or 0
        return (word(name) * 2)[:size]
    return min(int(bounds.le or 0), 300**place)

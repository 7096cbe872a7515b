"""Turns what validation found into sentences for the person who wrote the job: where, what, and what was meant."""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from jobs.spec.base import CONTRADICTION, KEY
from jobs.spec.data import SOURCES
from jobs.spec.vocabulary import Path, Place, find_place

_SHOWN: Final = 40
_FOLLOWS_FROM_ANOTHER: Final = "default_factory_not_called"
_WANTED: Final = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be 1 to 64 of A-Z a-z 0-9 . _ - and start with a letter or digit",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
_KEYS_MEANT: Final = {
    "learning_rate": "lr",
    "epochs": "rounds",
    "steps": "rounds",
    "iterations": "rounds",
    "batch": "batch_size",
    "objective": "loss",
    "label": "target",
    "file": "path",
    "beta": "betas",
    "type": "name",
}
"""Words of other tools that are spelt too differently for a spelling suggestion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing to correct, at a path of keys and list positions as the user wrote them."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def describe_mistakes(error: ValidationError) -> tuple[Mistake, ...]:
    """Every mistake of a job, those left out that only follow from another one."""
    found = error.errors(include_url=False)
    mistakes = [_describe(each) for each in found if each["type"] != _FOLLOWS_FROM_ANOTHER]
    return tuple(dict.fromkeys(mistakes))


def dotted(path: Path) -> str:
    """`model.hidden[1]`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is near."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    meant = close[0] if close else _KEYS_MEANT.get(word.lower())
    return f" (did you mean {meant!r}?)" if meant in known else ""


def shown(value: object) -> str:
    """A value as a short piece of a sentence."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _describe(details: ErrorDetails) -> Mistake:
    place = find_place(details["loc"])
    kind = details["type"]
    if kind == CONTRADICTION:
        blamed = tuple(step for step in str(details["ctx"][KEY]).split(".") if step)
        return Mistake(path=place.path + blamed, message=details["msg"])
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _wrong_choice(place, details["input"])
    return Mistake(path=place.path, message=_message(kind, place, details))


def _message(kind: str, place: Place, details: ErrorDetails) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return f"unknown key{_or_list(str(place.path[-1]), place.siblings)}"
    if kind == "literal_error":
        return f"{shown(details['input'])} is not known here{_or_list(str(details['input']), place.words)}"
    wanted = _WANTED.get(kind)
    text = wanted.format(**details.get("ctx", {})) if wanted else details["msg"]
    return f"{text}, not {shown(details['input'])}"


def _wrong_choice(place: Place, given: object) -> Mistake:
    """The key that chooses one of several sections is absent or names none of them."""
    is_data = place.path == ("data",)
    key, words = ("source", SOURCES) if is_data else ("name", place.words)
    missing = (
        "needs `source` (digits or python-text) or `path` (a file of yours)"
        if is_data
        else f"needs `name`: {', '.join(words)}"
    )
    if not isinstance(given, dict) or key not in given:
        return Mistake(path=place.path, message=missing)
    return Mistake(
        path=(*place.path, key), message=f"{shown(given[key])} is not known here{_or_list(str(given[key]), words)}"
    )


def _or_list(word: str, known: tuple[str, ...]) -> str:
    """A suggestion, or all there is to choose from."""
    return did_you_mean(word, known) or f"; known are {', '.join(known)}"

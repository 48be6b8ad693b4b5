"""A TOML file becomes a checked :class:`Scenario`, or one clear line says what is wrong."""

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from peergrid.errors import DataError
from peergrid.scenario.assets import RuleError
from peergrid.scenario.schema import Scenario

_UNION_PART = re.compile(r"^(list\[.*|float|int|str|bool|literal\[.*|constrained.*|nullable.*)$")
_LIMITS = {
    "greater_than": ("gt", "above {:g}"),
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than": ("lt", "below {:g}"),
    "less_than_equal": ("le", "at most {:g}"),
    "literal_error": ("expected", "{}"),
    "too_short": ("min_length", "at least {:g} entries"),
    "too_long": ("max_length", "at most {} entries"),
    "string_pattern_mismatch": ("pattern", "text like {}"),
}
_TYPES = {
    "missing": "a value (the key is required)",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "finite_number": "a finite number",
    "model_type": "a table",
    "dict_type": "a table",
}


def load_scenario(path: str | Path, **changes: Any) -> Scenario:
    """Read a scenario file.

    Parameters
    ----------
    path
        The TOML file.
    **changes
        Top-level keys to set instead of the file's (``hours``, ``seed``, ...); None leaves it.

    Raises
    ------
    DataError
        With the file, the field, its value and what is allowed.
    """
    file = Path(path)
    return parse_scenario(read_text(file), where=file.name, **changes)


def read_text(path: str | Path) -> str:
    """Text of a scenario file, or a :class:`DataError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        allowed = f"a TOML file that can be read ({reason})"
        raise DataError("scenario", "file", str(path), allowed) from error


def parse_scenario(text: str, *, where: str = "scenario", **changes: Any) -> Scenario:
    """Scenario from TOML text; see :func:`load_scenario`.

    >>> parse_scenario("hours = 48", seed=7).seed
    7
    >>> parse_scenario("[weather]\\nsources = 1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    peergrid.errors.DataError: scenario: weather.sources = 1: allowed: one of ... (meant source?)
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(where, "TOML", str(error), "valid TOML") from error
    raw.update({key: value for key, value in changes.items() if value is not None})
    try:
        return Scenario.model_validate(raw)
    except ValidationError as error:
        raise _data_error(where, error) from error


def _data_error(where: str, error: ValidationError) -> DataError:
    """The first finding in one line, and how many more there are."""
    findings = error.errors(include_url=False, include_context=True)
    first = _most_telling(findings)
    places = {_clean(finding["loc"]) for finding in findings}
    others = [p for p in places if not any(p == q[: len(p)] for q in places - {p})]
    more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
    rule = first.get("ctx", {}).get("error")
    if isinstance(rule, RuleError):
        field = ".".join(part for part in (_field(first), rule.field) if part)
        return DataError(where, field, rule.value, rule.allowed + more)
    value = None if first["type"] == "missing" else first["input"]
    return DataError(where, _field(first), value, _allowed(first) + more)


def _most_telling(findings: Sequence[ErrorDetails]) -> ErrorDetails:
    """Of the alternatives of the first place, the one that does not complain of the type."""
    place = _clean(findings[0]["loc"])
    same = [finding for finding in findings if _clean(finding["loc"])[: len(place)] == place]
    kinds = ("float_type", "int_type", "list_type", "string_type", "bool_type", "literal_error")
    return next((finding for finding in same if finding["type"] not in kinds), same[0])


def _clean(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The place without the names of the alternatives that pydantic puts in."""
    return tuple(part for part in loc if isinstance(part, int) or not _UNION_PART.match(part))


def _field(finding: ErrorDetails) -> str:
    """``pv[0].kwp[2]`` from the place of a finding."""
    text = ""
    for part in _clean(finding["loc"]):
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _allowed(finding: ErrorDetails) -> str:
    kind, context = finding["type"], finding.get("ctx", {})
    if kind == "extra_forbidden":
        return _known_keys(finding)
    if kind in _LIMITS:
        key, text = _LIMITS[kind]
        return text.format(context[key])
    return _TYPES.get(kind, finding["msg"])


def _known_keys(finding: ErrorDetails) -> str:
    """The keys of the table that has an unknown one, the nearest first if one is near."""
    *path, unknown = _clean(finding["loc"])
    table: type[BaseModel] = Scenario
    for part in path:
        if isinstance(part, str):
            table = _table_of(table, part)
    keys = sorted(table.model_fields)
    near = difflib.get_close_matches(str(unknown), keys, n=1)
    hint = f" (meant {near[0]}?)" if near else ""
    return f"one of {', '.join(keys)}{hint}"


def _table_of(table: type[BaseModel], key: str) -> type[BaseModel]:
    annotation = table.model_fields[key].annotation
    candidates = (annotation, *get_args(annotation))
    return next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))

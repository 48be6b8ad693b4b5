"""TOML text of a scenario, and file names in it that still hold from another folder."""

import json
import os
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")
_LONGEST_NAME = 255


def toml_text(document: Mapping[str, Any]) -> str:
    """A document of values, tables and arrays of tables; what is deeper is written in line.

    >>> print(toml_text({"a": 1, "t": {"b": "c"}, "l": [{"d": [1.5]}]}), end="")
    a = 1
    <BLANKLINE>
    [t]
    b = "c"
    <BLANKLINE>
    [[l]]
    d = [1.5]
    """
    plain = {k: v for k, v in document.items() if not _is_table(v) and not _is_tables(v)}
    parts = [_lines(plain)] if plain else []
    for key, value in document.items():
        if _is_table(value):
            parts.append(f"[{_key(key)}]\n{_lines(value)}")
        elif _is_tables(value):
            parts += [f"[[{_key(key)}]]\n{_lines(table)}" for table in value]
    return "\n".join(parts)


def moved(value: Any, old: Path, new: Path) -> Any:
    """The same value with the names of files that exist in one folder as seen from another.

    A name may stand behind a prefix such as ``tmy3:``.
    """
    if isinstance(value, Mapping):
        return {key: moved(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [moved(inner, old, new) for inner in value]
    if not isinstance(value, str):
        return value
    if _is_file(old, value):
        return _seen_from(new, old / value)
    kind, colon, rest = value.partition(":")
    if colon and _is_file(old, rest):
        return f"{kind}:{_seen_from(new, old / rest)}"
    return value


def files_of(value: Any, folder: Path) -> frozenset[Path]:
    """Files in a folder that a document names."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return frozenset().union(*(files_of(inner, folder) for inner in value))
    if not isinstance(value, str):
        return frozenset()
    names = (value, value.partition(":")[2])
    return frozenset((folder / name).resolve() for name in names if _is_file(folder, name))


def _is_file(folder: Path, name: str) -> bool:
    """Whether it is a relative name, with an ending, of a file that exists."""
    path = Path(name)
    usable = path.suffix and not path.is_absolute() and len(name) <= _LONGEST_NAME
    return bool(usable and (folder / path).is_file())


def _seen_from(folder: Path, file: Path) -> str:
    """Name relative to a folder; absolute on another drive."""
    try:
        return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return file.resolve().as_posix()


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    return repr(value)


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else _value(key)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_table(item) for item in value)

"""Read a pandapower JSON file that may come from anyone.

``pandapower.from_json`` imports the module and builds the class that each object of the file names
(``_module``, ``_class``), and a table may name another file to read. So the file is read as plain
data first, strings that hold JSON included, and refused unless every object is of a kind that a
network consists of.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peergrid.errors import DataError

if TYPE_CHECKING:
    from pandapower import pandapowerNet

_ALLOWED = re.compile(
    r"""pandapower\.auxiliary:pandapowerNet
      | pandapower\.(control|timeseries)\.[a-z0-9_.]+:[A-Z]\w*
      | pandas(\.core\.(frame|series|indexes\.\w+))?:(DataFrame|Series|\w*Index)
      | networkx:MultiGraph
      | numpy:(array|bool_?|(u?int|float|complex)\d+)
      | builtins:(complex|tuple|set|frozenset)
    """,
    re.VERBOSE,
)
_TABLES = ("DataFrame", "Series")
_WANTED = "a network saved with pandapower.to_json"
# what pandapower and pandas raise on contents they cannot use
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    UserWarning,
    ValueError,
)


def read_net(path: Path) -> "pandapowerNet":
    """Read a pandapower network from a JSON file.

    Raises
    ------
    DataError
        If the file is missing, is no pandapower network, is cut off, or holds objects of a kind
        that a network has no need of.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, "file", str(error), "a readable JSON file") from None
    try:
        kinds = list(_kinds(text))
    except (ValueError, RecursionError) as error:
        raise DataError(path, "contents", str(error), _WANTED) from None
    for kind in kinds:
        if not _ALLOWED.fullmatch(kind):
            wanted = "the tables, arrays and controllers of a pandapower network"
            raise DataError(path, "object", kind, wanted)
    if "pandapower.auxiliary:pandapowerNet" not in kinds:
        raise DataError(path, "contents", text[:40], _WANTED)
    return _load(path, text)


def _load(path: Path, text: str) -> "pandapowerNet":
    import pandapower

    try:
        net = pandapower.from_json_string(text, convert=True)
    except _UNREADABLE as error:
        raise DataError(path, "contents", f"{type(error).__name__}: {error}", _WANTED) from None
    if not isinstance(net, pandapower.pandapowerNet) or len(net.bus) == 0:
        raise DataError(path, "contents", type(net).__name__, "a pandapower network with buses")
    return net


def _kinds(text: str) -> Iterator[str]:
    """``module:class`` of every object in a JSON text and in the JSON texts inside it."""
    found: list[str] = []
    nested: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        names = [key for key, _ in pairs]
        content = dict(pairs)
        if "_module" in content or "_class" in content:
            once = names.count("_module") <= 1 and names.count("_class") <= 1
            kind = f"{content.get('_module', '')}:{content.get('_class', '')}"
            found.append(kind if once else f"{kind} named twice")
            if content.get("_class") in _TABLES and not _is_inline(content.get("_object")):
                found.append(f"{kind} in another file")
        nested.extend(value for value in _strings(list(content.values())) if _is_inline(value))

    json.loads(text, object_pairs_hook=check)
    yield from found
    for inner in nested:
        try:
            yield from _kinds(inner)
        except json.JSONDecodeError:
            continue  # text that only looks like JSON is never decoded either


def _is_inline(value: object) -> bool:
    return not isinstance(value, str) or value.lstrip()[:1] in ("{", "[")


def _strings(values: list[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _strings(value)

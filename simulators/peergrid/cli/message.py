"""Checking a flexibility message that somebody's device would send."""

import json
from pathlib import Path
from typing import Any

from peergrid.devices.flexibility import parse
from peergrid.errors import DataError


def check_message(path: Path) -> dict[str, Any]:
    """Decode a message from a JSON file as the market would.

    Returns
    -------
    ``kind``, ``steps`` and ``fixed``: what the market understands.
    """
    try:
        message = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError("check", "file", str(path), f"a JSON file ({error})") from error
    try:
        found = parse(message)
    except DataError as error:
        raise DataError(path.name, error.field, error.value, error.allowed) from error
    return {"kind": found.kind, "steps": found.steps, "fixed": found.is_fixed}

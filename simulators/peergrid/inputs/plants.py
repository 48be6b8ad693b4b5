"""Measured power of plants from a user's CSV."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.series import column_on, read_table
from peergrid.inputs.span import Span

Array = NDArray[np.float64]

_ROUNDING = 1.0 + 1e-9


def plant_power(
    spec: str,
    span: Span,
    *,
    buses: Sequence[int],
    kwp: Array,
    base_dir: str | Path = ".",
    nameplate: str = "kwp",
) -> Array:
    """Power that plants could feed in, as it was measured, on the steps of a span.

    Parameters
    ----------
    spec
        A CSV file with a column ``bus_<id> [kW]`` for each of ``buses``; others are not read.
    span
        The steps wanted; a finer file is averaged, a coarser one held.
    buses
        Bus of each plant.
    kwp
        Peak power of each plant, ``(n,)`` [kW]; nothing measured may exceed it.
    base_dir
        Folder that a relative file name starts from.
    nameplate
        What the peak power is called where it was given.

    Returns
    -------
    Powers ``(n, T)`` [kW], generation positive.
    """
    path = Path(base_dir) / spec
    table = read_table(path, tz=span.tz)
    power = np.stack([column_on(table, f"bus_{bus}", "kW", span) for bus in buses])
    wrong = (power < 0.0) | (power > kwp[:, None] * _ROUNDING)
    if wrong.any():
        row, step = (int(found[0]) for found in np.nonzero(wrong))
        field = f"bus_{buses[row]} at {span.index[step]:%Y-%m-%dT%H:%MZ}"
        allowed = f"0 to the {kwp[row]:g} kW of {nameplate}"
        raise DataError(path, field, float(power[row, step]), allowed)
    return power


def check_columns(spec: str, *, buses: Sequence[int], tz: str, base_dir: str | Path = ".") -> None:
    """Refuse a file with a column that no plant at ``buses`` reads: its power would be lost."""
    path = Path(base_dir) / spec
    table = read_table(path, tz=tz)
    foreign = sorted({name for name, _ in table.columns} - {f"bus_{bus}" for bus in buses})
    if foreign:
        listed = ", ".join(str(bus) for bus in sorted(buses))
        raise DataError(path, "header", foreign[0], f"bus_N of the plants at {listed}")

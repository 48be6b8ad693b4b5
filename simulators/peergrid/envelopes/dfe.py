"""Dynamic flexibility envelopes in two stages: the nearest boxes to what communities desire.

Each community names the interval it wants to move in, its schedule with margins to both sides, and
gives up room at a quadratic price; the operator gives up none. The agreement of the two is the
projection of the desired intervals onto the rows (the limit of an ADMM whose community step is
closed: sedate communities, one operator). What room is left is then handed out: without that the
boxes would be worse than a DOE's. Desires are not proven: who asks for more gets more, unless the
price of the rows is charged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.filling import fill
from peergrid.envelopes.rows import Rows
from peergrid.polyhedron import nearest

Floats = NDArray[np.float64]
NO_REACH_KW = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreed:
    """Boxes that were agreed, and what the rows are worth.

    Parameters
    ----------
    boxes
        ``(N, T)``, with the room that was handed out.
    extent
        ``(4 N, T)`` as agreed, before that.
    worth
        ``(J, T)`` multiplier of each row in the agreement, not negative.
    binding
        ``(J, T)`` rows that limited it.
    """

    boxes: Boxes
    extent: Floats
    worth: Floats
    binding: NDArray[np.bool_]


def two_stage(rows: Rows, desired: Floats, least: Floats, most: Floats) -> Agreed:
    """Agree on boxes.

    Parameters
    ----------
    rows
        The operator's rows.
    desired
        ``(4 N, T)`` extents that the communities want.
    least, most
        ``(4 N, T)`` extents that are granted in any case, and that contracts allow.
    """
    wanted = np.clip(desired, least, np.maximum(least, most))
    reach = np.maximum(np.abs(most).max(axis=1), NO_REACH_KW)
    far = np.full_like(wanted, np.inf)
    met = nearest(wanted, 1.0 / reach, rows.demand, _granted(rows, least), least, far)
    return Agreed(
        boxes=Boxes.of_extent(hand_out(rows, met.x, most)),
        extent=met.x,
        worth=met.multiplier,
        binding=met.multiplier > 0.0,
    )


def hand_out(rows: Rows, extent: Floats, most: Floats) -> Floats:
    """Extents ``(4 N, T)`` that share what room the agreed ones leave, max-min fair."""
    most = np.maximum(extent, most)
    reach = np.maximum(most, NO_REACH_KW)
    return fill(rows.demand, rows.limit, extent, most, reach, np.arange(len(extent)))


def _granted(rows: Rows, least: Floats) -> Floats:
    """Limits that leave at least what is granted in any case."""
    return np.maximum(rows.limit, rows.used(least))

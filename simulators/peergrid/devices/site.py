"""Keeping a connection point inside its envelope, in real time, as far as a device is able to.

::

    grid ──┤ connection point: P_min <= sum of all injections <= P_max
           ├── others: P_gen - P_load, already realised in this step
           └── this device: p_min_kw - others <= p <= p_max_kw - others

Injection is positive; all arrays have one entry per device.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """What a connection point leaves for each device, ``(n,)`` [kW]; infinite without a limit."""

    low_kw: Floats
    high_kw: Floats

    def within(self, low_kw: Floats, high_kw: Floats) -> tuple[Floats, Floats]:
        """The device's own range, narrowed to the room as far as it reaches into it, ``(n,)`` each.

        The own range wins: where the two do not meet, its end nearest to the room is left. In an
        empty room (low above high) the upper limit counts.
        """
        most = np.clip(self.high_kw, low_kw, high_kw)
        return np.minimum(np.clip(self.low_kw, low_kw, high_kw), most), most


def room(p_min_kw: Floats, p_max_kw: Floats, p_gen_kw: Floats, p_load_kw: Floats) -> Room:
    """Room that the envelope and the other devices leave.

    Parameters
    ----------
    p_min_kw, p_max_kw
        Envelope of the connection point, ``(n,)``; NaN: no limit.
    p_gen_kw, p_load_kw
        What the others generate and consume in this step, ``(n,)``; NaN counts as zero.

    Examples
    --------
    >>> nothing = np.array([np.nan])
    >>> left = room(nothing, np.array([5.0]), np.array([4.0]), np.array([1.0]))
    >>> left.low_kw.tolist(), left.high_kw.tolist()
    ([-inf], [2.0])
    """
    others = np.nan_to_num(p_gen_kw) - np.nan_to_num(p_load_kw)
    low = np.where(np.isnan(p_min_kw), -np.inf, p_min_kw - others)
    high = np.where(np.isnan(p_max_kw), np.inf, p_max_kw - others)
    return Room(low_kw=low, high_kw=high)

"""Dynamic operating envelopes with proportional allocation, in closed form.

Every participant's box is built from its firm load and a common share of its wishes::

    p_max = generation - credit * sure load + share_up * export
    p_min = -(1 + spare) * greatest load - share_down * import

``share_up`` and ``share_down`` are the largest shares in [0, 1] for which every network row holds
over the whole box (proportional allocation: Petrou et al., "Ensuring distribution network
integrity using dynamic operating limits for prosumers", IEEE Trans. Smart Grid 12(5), 2021). As
long as the exports fit without it, load is not counted on (``credit`` 0); only when room is short
is the load that is sure to be there credited. In the same way room that nobody asked for is left
to load (``spare``). Firm load with its margin is always inside the box: it cannot be switched off.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes, Wishes
from peergrid.envelopes.rows import Rows

Floats = NDArray[np.float64]
TIGHT = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocation:
    """Boxes, the shares ``(T,)`` they follow from, and which rows ``(J, T)`` limit them."""

    boxes: Boxes
    share_up: Floats
    share_down: Floats
    credit: Floats
    spare: Floats
    binding: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Load:
    """Firm load split into what is sure and what is possible, ``(N, T)``, not negative."""

    sure_kw: Floats
    most_kw: Floats
    generation_kw: Floats
    sure_kvar: Floats
    most_kvar: Floats


def allocate(rows: Rows, wishes: Wishes) -> Allocation:
    """Proportional envelopes for all hours at once.

    Rows that firm load alone already breaks cannot limit anything further down than firm load: in
    such an hour the share is zero and the box is firm load with its margin.
    """
    load = _firm(wishes)
    constant = _reactive_constant(rows, load)
    signs = _signs(rows)
    limit = rows.limit - constant
    share_up, credit, tight_up = _raise(rows.where(signs > 0), limit[signs > 0], wishes, load)
    share_down, spare, tight_down = _lower(rows.where(signs < 0), limit[signs < 0], wishes, load)
    binding = np.zeros(rows.limit.shape, dtype=bool)
    binding[signs > 0], binding[signs < 0] = tight_up, tight_down
    boxes = Boxes(
        p_max_kw=load.generation_kw - credit * load.sure_kw + share_up * wishes.export_kw,
        p_min_kw=-(1.0 + spare) * load.most_kw - share_down * wishes.import_kw,
        q_max_kvar=np.maximum(-credit * load.sure_kvar, -(1.0 + spare) * load.most_kvar),
        q_min_kvar=np.minimum(-credit * load.sure_kvar, -(1.0 + spare) * load.most_kvar),
    )
    return Allocation(
        boxes=boxes,
        share_up=share_up,
        share_down=share_down,
        credit=credit,
        spare=spare,
        binding=binding,
    )


def _raise(
    rows: Rows, room: Floats, wishes: Wishes, load: _Load
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Share and credit of the side that raises voltages and exports."""
    voltage = (rows.kind == "vmax")[:, None]
    wanted = rows.a @ wishes.export_kw
    room = room - rows.a @ load.generation_kw
    relief = rows.a @ load.sure_kw + np.where(voltage, rows.b @ load.sure_kvar, 0.0)
    short = wanted > room
    needed = np.where(short & (relief > 0.0), (wanted - room) / np.maximum(relief, 1e-300), 0.0)
    credit = np.clip(needed.max(axis=0, initial=0.0), 0.0, 1.0)
    credit = np.where((short & (relief <= 0.0)).any(axis=0), 1.0, credit)
    share = _largest_share(room + credit * relief, wanted)
    slack = room + credit * relief - share * wanted
    tight = (slack <= TIGHT * (1.0 + np.abs(room))) & (share < 1.0) & (wanted > 0.0)
    return share, credit, tight


def _lower(
    rows: Rows, room: Floats, wishes: Wishes, load: _Load
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Share and spare room of the side that lowers voltages and imports."""
    voltage = (rows.kind == "vmin")[:, None]
    wanted = -rows.a @ wishes.import_kw
    burden = -rows.a @ load.most_kw - np.where(voltage, rows.b @ load.most_kvar, 0.0)
    share = _largest_share(room - burden, wanted)
    left = room - burden - share * wanted
    spare = np.where(share < 1.0, 0.0, _largest_share(left, burden))
    tight = (left <= TIGHT * (1.0 + np.abs(room))) & (share < 1.0) & (wanted > 0.0)
    return share, spare, tight


def _largest_share(room: Floats, wanted: Floats) -> Floats:
    """Largest share in [0, 1] with ``share * wanted <= room`` in all rows, ``(T,)``."""
    use = wanted > 0.0
    ratio = np.where(use, room / np.where(use, wanted, 1.0), np.inf)
    return np.asarray(np.clip(ratio.min(axis=0, initial=np.inf), 0.0, 1.0))


def _firm(wishes: Wishes) -> _Load:
    low = wishes.load_kw - wishes.margin_kw
    high = wishes.load_kw + wishes.margin_kw
    sure, most = np.maximum(low, 0.0), np.maximum(high, 0.0)
    return _Load(
        sure_kw=sure,
        most_kw=most,
        generation_kw=np.maximum(-low, 0.0),
        sure_kvar=sure * wishes.reactive_share,
        most_kvar=most * wishes.reactive_share,
    )


def _reactive_constant(rows: Rows, load: _Load) -> Floats:
    """Reactive part of the current rows at its worst, ``(J, T)``; voltage rows count it exactly."""
    lowest, highest = -2.0 * load.most_kvar, np.zeros_like(load.most_kvar)
    low, high = np.minimum(lowest, highest), np.maximum(lowest, highest)
    worst = np.maximum(rows.b, 0.0) @ high + np.minimum(rows.b, 0.0) @ low
    return np.where((rows.kind == "current")[:, None], worst, 0.0)


def _signs(rows: Rows) -> NDArray[np.int64]:
    """1 for rows that look at ``p_max``, -1 for those that look at ``p_min``, 0 for empty ones."""
    return np.asarray(np.sign(rows.a.sum(axis=1)), dtype=np.int64)

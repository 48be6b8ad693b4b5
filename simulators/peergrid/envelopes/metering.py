"""What meters report, and which readings are refused at sight.

A reading is refused before anything is computed from it if it is *missing* (the meter spoke before
and now does not), *absurd* (no distribution grid has such a voltage or power) or *frozen* (the
same voltage and powers to the last digit for hours in which the feeder's power moved). A meter
that is refused is refused as a whole. What only a model can tell, that a reading contradicts all
others, is in :mod:`peergrid.envelopes.feedback_lines`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.network.feeder import Feeder
from peergrid.network.linear import downstream
from peergrid.units import pu_from_kw

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

VOLTAGE_DECIMALS = 6
POWER_DECIMALS = 3
SANE_VOLTAGE_PU = (0.5, 1.5)  # beyond: no grid in service, but a fuse, a phase or a unit mistaken
IMPLAUSIBLE_MULTIPLE = 10.0  # of what its branch carries, or all nominal loads: a unit mistaken
FROZEN_HOURS = 3  # the same reading in so many hours in a row is no coincidence
# a voltage that must have changed by this much cannot read the same at a resolution of 1e-6 pu
VISIBLE_CHANGE_PU = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurements:
    """What the meters saw in one hour; NaN where there is no meter or it said nothing.

    Parameters
    ----------
    vm_pu, p_inj_kw, q_inj_kvar
        ``(n,)`` by feeder row, injection positive.
    head_p_kw, head_q_kvar
        Power at the feeder head, import positive.
    loss_kw
        Losses of the grid.
    """

    vm_pu: Floats
    p_inj_kw: Floats
    q_inj_kvar: Floats
    head_p_kw: float
    head_q_kvar: float
    loss_kw: float

    def at_meter_resolution(self) -> "Measurements":
        """Rounded to what a meter resolves: 1e-6 pu, 1 W and 1 var.

        Two solvers of the same grid, or two machines, then teach the operator the same.
        """
        return Measurements(
            vm_pu=np.round(self.vm_pu, VOLTAGE_DECIMALS),
            p_inj_kw=np.round(self.p_inj_kw, POWER_DECIMALS),
            q_inj_kvar=np.round(self.q_inj_kvar, POWER_DECIMALS),
            head_p_kw=round(self.head_p_kw, POWER_DECIMALS),
            head_q_kvar=round(self.head_q_kvar, POWER_DECIMALS),
            loss_kw=round(self.loss_kw, POWER_DECIMALS),
        )

    @property
    def readings(self) -> Floats:
        """Voltage [pu], active [kW] and reactive injection [kvar] of each bus, ``(3, n)``."""
        return np.stack([self.vm_pu, self.p_inj_kw, self.q_inj_kvar])

    def without(self, rows: Bools) -> "Measurements":
        """The same without the meters of some rows ``(n,)``."""
        return replace(
            self,
            vm_pu=np.where(rows, np.nan, self.vm_pu),
            p_inj_kw=np.where(rows, np.nan, self.p_inj_kw),
            q_inj_kvar=np.where(rows, np.nan, self.q_inj_kvar),
        )


@dataclass(frozen=True)
class Refused:
    """A meter whose reading was not used.

    ``row`` is its feeder row, ``HEAD_METER`` the power meter at the feeder head; ``why`` is one
    of ``missing``, ``absurd``, ``frozen``, ``inconsistent``.
    """

    row: int
    why: str


HEAD_METER = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """What telling a frozen or a silent meter from others needs to remember.

    Parameters
    ----------
    readings
        ``(3, n)`` last reading of each meter: voltage, active, reactive; NaN if there was none.
    repeats
        ``(n,)`` hours since its reading last changed although it should have.
    head_kw
        Last power at the feeder head; None if there was none.
    """

    readings: Floats
    repeats: Ints
    head_kw: float | None

    @classmethod
    def empty(cls, buses: int) -> "History":
        """Nothing heard yet."""
        return cls(
            readings=np.full((3, buses), np.nan),
            repeats=np.zeros(buses, dtype=np.int64),
            head_kw=None,
        )


def known_or_zero(values: Floats) -> Floats:
    """What was measured; zero where nothing, or nothing finite, was."""
    return np.where(np.isfinite(values), values, 0.0)


def plausible_kva(feeder: Feeder) -> Floats:
    """Apparent power that no meter of a bus can honestly show, ``(n,)``.

    A multiple of what the bus's branch is rated for, or of all nominal loads if that is more.
    """
    nominal = float(np.hypot(feeder.p_load_kw, feeder.q_load_kvar).sum())
    # rated power [kVA] from kV and kA
    rated = np.sqrt(3.0) * feeder.vn_kv * feeder.i_max_ka * 1000.0
    rated[0] = np.inf  # the root has no branch
    return np.asarray(IMPLAUSIBLE_MULTIPLE * np.maximum(rated, nominal))


def screen(
    feeder: Feeder, seen: Measurements, history: History
) -> tuple[Measurements, tuple[Refused, ...], History]:
    """Refuse what is missing, absurd or frozen.

    Parameters
    ----------
    feeder
        The operator's model.
    seen
        The hour's measurements at meter resolution.
    history
        What was seen before.

    Returns
    -------
    tuple
        Measurements with refused meters as NaN; who was refused and why; the new history.
    """
    readings = seen.readings
    known = np.isfinite(readings)
    spoke = np.isfinite(history.readings)
    missing = (spoke & np.isnan(readings)).any(axis=0)
    absurd = _absurd(feeder, seen)
    repeats = _repeats(feeder, seen, history)
    frozen = repeats >= FROZEN_HOURS - 1  # the first of the equal readings is no repeat
    head_kw = seen.head_p_kw
    head_absurd = np.isinf(head_kw) or abs(head_kw) > IMPLAUSIBLE_MULTIPLE * _head_limit_kva(feeder)
    refused = [Refused(HEAD_METER, "absurd")] if head_absurd else []
    if np.isnan(head_kw) and history.head_kw is not None:
        refused.append(Refused(HEAD_METER, "missing"))
    for row in np.flatnonzero(missing | absurd | frozen):
        why = "absurd" if absurd[row] else "frozen" if frozen[row] else "missing"
        refused.append(Refused(int(row), why))
    usable = seen.without(absurd | frozen)
    if head_absurd:
        usable = replace(usable, head_p_kw=np.nan, head_q_kvar=np.nan)
    remembered = History(
        readings=np.where(known, readings, history.readings),
        repeats=repeats,
        head_kw=head_kw if np.isfinite(usable.head_p_kw) else history.head_kw,
    )
    return usable, tuple(refused), remembered


def _absurd(feeder: Feeder, seen: Measurements) -> Bools:
    """Rows whose voltage or power cannot be, ``(n,)``; silence is not absurd."""
    low, high = SANE_VOLTAGE_PU
    limit = plausible_kva(feeder)
    return np.asarray(
        (seen.vm_pu < low)
        | (seen.vm_pu > high)
        | (np.abs(seen.p_inj_kw) > limit)
        | (np.abs(seen.q_inj_kvar) > limit)
        | np.isinf(seen.readings).any(axis=0)
    )


def _head_limit_kva(feeder: Feeder) -> float:
    """What the branches at the root are rated for together, or all nominal loads if more."""
    fed = np.flatnonzero(feeder.parent == 0)
    rated = np.sqrt(3.0) * feeder.vn_kv[fed] * feeder.i_max_ka[fed] * 1000.0
    nominal = float(np.hypot(feeder.p_load_kw, feeder.q_load_kvar).sum())
    return max(float(rated.sum()), nominal) or float("inf")


def _repeats(feeder: Feeder, seen: Measurements, history: History) -> Ints:
    """Hours in a row in which a meter repeated itself although the grid moved, ``(n,)``.

    An hour in which the head's power hardly moved proves nothing, nor does a bus so close to the
    root that its voltage cannot be seen to move; they leave the count as it is. The root's voltage
    is held by the grid above and may well stay the same.
    """
    same = np.all((seen.readings == history.readings) | np.isnan(seen.readings), axis=0)
    same &= np.isfinite(seen.vm_pu)
    same[0] = False
    if history.head_kw is None or not np.isfinite(seen.head_p_kw):
        return np.where(same, history.repeats, 0)
    moved_kw = abs(seen.head_p_kw - history.head_kw)
    branch_pu = np.hypot(feeder.r_pu, feeder.x_pu)
    branch_pu[0] = 0.0
    path_pu = downstream(feeder).T @ branch_pu
    visible = path_pu * float(pu_from_kw(moved_kw, feeder.base_mva)) > VISIBLE_CHANGE_PU
    return np.where(same, history.repeats + visible, 0).astype(np.int64)

"""Network limits as linear rows over the participants' injections, hour by hour.

A row says ``a @ p + b @ q <= limit``. Over a whole box of injections its worst case is
``a+ @ p_max + a- @ p_min + b+ @ q_max + b- @ q_min`` with ``a+ = max(a, 0)``, ``a- = min(a, 0)``:
exact, without enumerating corners. Written over the *extents* of a box, ``(p_max, -p_min, q_max,
-q_min)``, no coefficient is negative: envelopes share out room, nothing they take gives any back.

The first rows are linear (LinDistFlow for voltages, a polygon in the rating's disc for currents);
:mod:`peergrid.envelopes.certify` replaces them by tangents of the exact power flow.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.limits import Limits
from peergrid.units import kw_from_pu

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
FACES = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """J rows over N participants and T hours.

    Parameters
    ----------
    a, b
        ``(J, N, T)`` coefficients per kW and per kvar.
    limit
        ``(J, T)``; infinite in hours in which the row does not count.
    at
        ``(J,)`` feeder row of the bus whose voltage, or of the branch whose current, is limited.
    kind
        ``(J,)`` "upper" and "lower" for voltages, "current".
    """

    a: Floats
    b: Floats
    limit: Floats
    at: Indices
    kind: NDArray[np.str_]

    @cached_property
    def demand(self) -> Floats:
        """Coefficients over the extents of the boxes, ``(T, J, 4 N)``, none negative."""
        parts = [np.maximum(sign * part, 0.0) for part in (self.a, self.b) for sign in (1.0, -1.0)]
        return np.ascontiguousarray(np.concatenate(parts, axis=1).transpose(2, 0, 1))

    def used(self, extent: Floats) -> Floats:
        """Left-hand sides ``(J, T)`` at the worst point of boxes with extents ``(4 N, T)``."""
        return np.asarray(np.matmul(self.demand, extent.T[:, :, None])[:, :, 0].T)

    def where(self, keep: NDArray[np.bool_] | Indices) -> "Rows":
        """A subset of the rows."""
        return Rows(
            a=self.a[keep],
            b=self.b[keep],
            limit=self.limit[keep],
            at=self.at[keep],
            kind=self.kind[keep],
        )

    def without(self, hours: Indices) -> "Rows":
        """The same rows, not counting in some hours."""
        limit = self.limit.copy()
        limit[:, hours] = np.inf
        return replace(self, limit=limit)

    def and_(self, other: "Rows") -> "Rows":
        """Both sets of rows."""
        return Rows(
            a=np.concatenate([self.a, other.a]),
            b=np.concatenate([self.b, other.b]),
            limit=np.concatenate([self.limit, other.limit]),
            at=np.concatenate([self.at, other.at]),
            kind=np.concatenate([self.kind, other.kind]),
        )


def linear_rows(limits: Limits, most: Floats) -> Rows:
    """Rows of the linear model that can bind at all.

    Parameters
    ----------
    limits
        What the network must keep.
    most
        ``(4 N, T)`` the largest extents that anybody asks for; rows that hold even then, and rows
        that others imply, are left out.
    """
    voltages = _tightest(voltage_rows(limits), most)
    return voltages.and_(_tightest(current_rows(limits), most))


def voltage_rows(limits: Limits) -> Rows:
    """Upper and lower voltage limit of every bus, around the exact voltages without participants.

    ``|V|^2 = V0^2 + R p + X q`` with the slopes of LinDistFlow.
    """
    hours = limits.hours
    rise, rise_q = limits.model.R[1:, limits.at], limits.model.X[1:, limits.at]
    base = limits.base.vm_pu[1:] ** 2
    buses = np.arange(1, limits.feeder.n_bus)
    return Rows(
        a=_in_every_hour(np.concatenate([rise, -rise]), hours),
        b=_in_every_hour(np.concatenate([rise_q, -rise_q]), hours),
        limit=np.concatenate([limits.v_max_pu[1:] ** 2 - base, base - limits.v_min_pu[1:] ** 2]),
        at=np.concatenate([buses, buses]),
        kind=np.repeat(np.array(["upper", "lower"]), len(buses)),
    )


def current_rows(limits: Limits) -> Rows:
    """Current limit of every branch: an inscribed polygon of the apparent-power disc.

    The disc's radius is the rating at the lowest voltage allowed. The lossless flow understates
    the exact current by up to a tenth, so these rows only lead to where the exact ones are taken.
    """
    hours = limits.hours
    rating = limits.feeder.i_max_pu
    limited = np.flatnonzero(np.isfinite(rating) & (np.arange(len(rating)) > 0))
    lowest = limits.v_min_pu.min(axis=0)
    radius_pu = rating[limited, None] * limits.loading_max[limited] * lowest
    radius = kw_from_pu(radius_pu, limits.feeder.base_mva)
    through = limits.model.D[limited][:, limits.at]
    flow, flow_q = (-(limits.model.D[limited] @ part) for part in limits.background)
    parts = []
    for angle in np.arange(FACES) * 2.0 * np.pi / FACES:
        cos, sin = np.cos(angle), np.sin(angle)
        inner = radius * np.cos(np.pi / FACES)
        parts.append((-cos * through, -sin * through, inner - cos * flow - sin * flow_q))
    shape = (len(limited) * FACES, len(limits.at))
    coefficients = [np.concatenate([p[k] for p in parts]).reshape(shape) for k in (0, 1)]
    return Rows(
        a=_in_every_hour(coefficients[0], hours),
        b=_in_every_hour(coefficients[1], hours),
        limit=np.concatenate([p[2] for p in parts]).reshape(shape[0], hours),
        at=np.tile(limited, FACES),
        kind=np.full(shape[0], "current"),
    )


def _in_every_hour(coefficients: Floats, hours: int) -> Floats:
    return np.broadcast_to(coefficients[:, :, None], (*coefficients.shape, hours))


def _tightest(rows: Rows, most: Floats) -> Rows:
    """Rows that can bind in some hour, without those that another row implies in every hour.

    For rows with the same coefficients in every hour.
    """
    if len(rows.at) == 0:
        return rows
    a, b = rows.a[:, :, 0], rows.b[:, :, 0]
    demand = np.maximum(np.concatenate([a, -a, b, -b], axis=1), 0.0)
    can_bind = demand @ most > rows.limit
    some = np.flatnonzero(can_bind.any(axis=1))
    if len(some) == 0:
        return rows.where(some)
    demand, can_bind, limit = demand[some], can_bind[some], rows.limit[some]
    safe = np.maximum(limit, 1e-12 * np.maximum(np.abs(limit).max(), 1e-12))
    size = demand.sum(axis=1) * (1.0 / safe).sum(axis=1)
    kept: list[int] = []
    for j in np.argsort(-size):
        implied = ~can_bind[j]
        for k in kept:
            implied = implied | _implies(demand[k], safe[k], demand[j], safe[j])
            if implied.all():
                break
        if not implied.all():
            kept.append(int(j))
    return rows.where(some[np.sort(kept)])


def _implies(
    demand: Floats, limit: Floats, other_demand: Floats, other_limit: Floats
) -> NDArray[np.bool_]:
    """Hours ``(T,)`` in which a row leaves nothing for another one to limit."""
    counts = other_demand > 0.0
    if (demand[counts] <= 0.0).any():
        return np.zeros(len(limit), dtype=np.bool_)
    ratio = (other_demand[counts] / demand[counts]).max(initial=0.0)
    return np.asarray(ratio * limit <= other_limit * (1.0 + 1e-12))

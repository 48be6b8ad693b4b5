"""Envelopes for a horizon, by whatever rule: boxes with what is known about them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes, Offer, Wishes
from peergrid.envelopes.certify import Certified, certify, inspect
from peergrid.envelopes.dfe import two_stage
from peergrid.envelopes.doe import Objective, allocate
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.rows import Rows

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]
FULL = 1e-6  # room of a row, relative to its limit, that counts as none


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope:
    """What the operator publishes, and what it knows about it.

    Parameters
    ----------
    boxes
        ``(N, T)``.
    limits, rows
        What had to be kept, and the rows that stand for it.
    binding
        ``(J, T)`` rows that limit the boxes: they have no room left.
    violation_pu, overload
        ``(T,)`` what the corners break at most under the exact power flow; NaN where nobody looked.
    linear_gap_pu
        ``(T,)`` largest error of the linear model's voltages at the corners.
    """

    boxes: Boxes
    limits: Limits
    rows: Rows
    binding: Bools
    violation_pu: Floats
    overload: Floats
    linear_gap_pu: Floats

    def bound_voltages(self, hour: int) -> Floats:
        """Which voltage limit of each bus binds, ``(n,)``: 0 none, 1 upper, 2 rise, -1 lower."""
        kind = np.zeros(self.limits.feeder.n_bus)
        tight = self.binding[:, hour]
        kind[self.rows.at[tight & (self.rows.kind == "lower")]] = -1.0
        upper = self.rows.at[tight & (self.rows.kind == "upper")]
        kind[upper] = np.where(self.limits.by_rise[upper, hour], 2.0, 1.0)
        return kind

    def bound_branches(self, hour: int) -> Bools:
        """Which branches' ratings bind, ``(n,)``."""
        found = np.zeros(self.limits.feeder.n_bus, dtype=bool)
        found[self.rows.at[self.binding[:, hour] & (self.rows.kind == "current")]] = True
        return found


def dynamic(
    limits: Limits,
    offer: Offer,
    objective: Objective = "proportional",
    *,
    alpha: float = 2.0,
    hours: Indices | None = None,
) -> Envelope:
    """Dynamic operating envelopes: the operator alone shares out the room."""

    def share(rows: Rows) -> tuple[Boxes, Bools]:
        found = allocate(rows, offer, objective, alpha)
        return found.boxes, found.binding

    proof = certify(limits, _reach(offer), share, hours)
    return known(limits, proof, proof.found)


def agreed_in_two_stages(
    limits: Limits, desired: Floats, offer: Offer, *, hours: Indices | None = None
) -> Envelope:
    """Dynamic flexibility envelopes around the intervals ``(4 N, T)`` that communities desire."""
    least, most = limits.least.extent, _reach(offer)

    def agree(rows: Rows) -> tuple[Boxes, None]:
        return two_stage(rows, desired, least, most).boxes, None

    return known(limits, certify(limits, most, agree, hours))


def static(limits: Limits, wishes: Wishes, objective: Objective = "proportional") -> Envelope:
    """One box for all hours: safe with no load at all, and with the greatest load of each.

    The result has as many hours as the limits, all alike.
    """
    hours = limits.hours
    none = np.zeros_like(wishes.load_kw)
    peak = (wishes.load_kw + wishes.margin_kw).max(axis=1, keepdims=True)
    full = replace(
        wishes,
        load_kw=np.repeat(peak, hours, axis=1),
        load_kvar=np.repeat(peak * wishes.reactive_share.max(axis=1, keepdims=True), hours, axis=1),
        margin_kw=none,
    )
    empty = replace(wishes, load_kw=none, load_kvar=none, margin_kw=none)
    found = [
        dynamic(replace(limits, least=case.firm()), case.offer(count_on_load=False), objective)
        for case in (empty, full)
    ]
    upper, lower = (part.boxes.extent.min(axis=1, keepdims=True) for part in found)
    sides = np.arange(len(upper)) // (len(upper) // 4) % 2  # upper and lower sides take turns
    extent = np.where(sides[:, None] == 0, np.minimum(upper, lower), lower)
    boxes = Boxes.of_extent(np.repeat(extent, hours, axis=1))
    return known(limits, inspect(limits, boxes, found[1].rows), found[1].binding)


def known(limits: Limits, proof: Certified[Any], binding: Bools | None = None) -> Envelope:
    """Certified boxes, with which rows bind; those that are full unless the allocation knows."""
    if binding is None:
        left = proof.rows.limit - proof.rows.used(proof.boxes.extent)
        binding = left <= FULL * (np.abs(proof.rows.limit) + 1e-12)
    return Envelope(
        boxes=proof.boxes,
        limits=limits,
        rows=proof.rows,
        binding=binding,
        violation_pu=proof.violation_pu,
        overload=proof.overload,
        linear_gap_pu=proof.linear_gap_pu,
    )


def _reach(offer: Offer) -> Floats:
    """Largest extents that an offer can lead to."""
    return np.asarray(
        np.maximum(offer.extent(np.maximum(offer.most, 1.0)), offer.base) + offer.spare
    )

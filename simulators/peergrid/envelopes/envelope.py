"""Envelopes for a horizon: rows from the corrected model, allocation, corners under exact flow."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes, Wishes
from peergrid.envelopes.certify import Corners, corners
from peergrid.envelopes.doe import Allocation, allocate
from peergrid.envelopes.feedback import Correction
from peergrid.envelopes.rows import Limits, Rows, current_rows, stack, voltage_rows
from peergrid.network.feeder import Feeder
from peergrid.network.linear import LinearModel, lindistflow

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
PASSES = 4  # a box too large brings a gap too large: every second pass is on the safe side


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """The operator's model of the feeder and its limits.

    ``v_min_pu`` and ``v_max_pu`` are the band, ``loading`` the share of the ratings to use.
    """

    feeder: Feeder
    model: LinearModel
    v_min_pu: float
    v_max_pu: float
    loading: float = 1.0

    def corrected(self, impedance_scale: float) -> "Network":
        """The same feeder with impedances as the meters suggest."""
        if impedance_scale == 1.0:
            return self
        feeder = self.feeder.scaled_impedance(impedance_scale)
        return replace(self, feeder=feeder, model=lindistflow(feeder))


@dataclass(frozen=True, kw_only=True, eq=False)
class Envelope:
    """What the operator publishes, and what it knows about it."""

    boxes: Boxes
    allocation: Allocation
    rows: Rows
    corners: Corners
    corner_violation_pu: Floats


def dynamic(
    network: Network,
    at: Indices,
    wishes: Wishes,
    correction: Correction,
    background: tuple[Floats, Floats],
) -> Envelope:
    """Dynamic operating envelopes of N participants for T hours.

    Parameters
    ----------
    network
        Feeder model and limits.
    at
        ``(N,)`` feeder row of each participant.
    wishes
        ``(N, T)`` firm load and what flexible resources want.
    correction
        What the meters taught.
    background
        Injections ``(n, T)`` of buses without participants [kW, kvar].
    """
    limits = _limits(network, correction, wishes.load_kw.shape[1])
    network = network.corrected(correction.safe_impedance_scale)
    volts = voltage_rows(network.model, at, limits, background)
    # narrowing is about voltages: it must not make the rated current look larger
    ratings = _limits(network, Correction.none(network.feeder.n_bus), wishes.load_kw.shape[1])
    currents = current_rows(network.feeder, network.model, at, ratings, background)
    gap = np.zeros_like(volts.limit)
    buses = network.feeder.n_bus - 1
    for _ in range(PASSES):
        rows = stack(replace(volts, limit=volts.limit + gap), currents)
        allocation = allocate(rows, wishes)
        found = corners(network.feeder, network.model, at, allocation.boxes, background)
        gap[buses:] = found.gap_low_sq[1:]
    return Envelope(
        boxes=allocation.boxes,
        allocation=allocation,
        rows=rows,
        corners=found,
        corner_violation_pu=found.worst_violation_pu(limits.v_min_pu, limits.v_max_pu),
    )


def static(
    network: Network, at: Indices, wishes: Wishes, background: tuple[Floats, Floats]
) -> Envelope:
    """One box for all hours: safe with no load at all, and with the greatest load expected.

    ``wishes`` cover the hours the box must hold for; the result has a single hour.
    """
    hours = wishes.load_kw.shape[1]
    none = np.zeros_like(wishes.load_kw)
    correction = Correction.none(network.feeder.n_bus)
    upper = dynamic(
        network, at, replace(wishes, load_kw=none, margin_kw=none), correction, background
    ).boxes
    lower = dynamic(network, at, _peak(wishes), correction, background)
    shares = lower.allocation
    box = Boxes(
        p_max_kw=upper.p_max_kw.min(axis=1, keepdims=True),
        p_min_kw=lower.boxes.p_min_kw.max(axis=1, keepdims=True),
        q_max_kvar=np.maximum(upper.q_max_kvar, lower.boxes.q_max_kvar).max(axis=1, keepdims=True),
        q_min_kvar=lower.boxes.q_min_kvar.max(axis=1, keepdims=True),
    )
    first = tuple(part[:, :1] for part in background)
    found = corners(network.feeder, network.model, at, box, (first[0], first[1]))
    limits = _limits(network, correction, 1)
    return Envelope(
        boxes=box,
        allocation=replace(shares, boxes=box, share_up=shares.share_up[:1]),
        rows=lower.rows,
        corners=found,
        corner_violation_pu=np.full(
            hours, found.worst_violation_pu(limits.v_min_pu, limits.v_max_pu)[0]
        ),
    )


def _peak(wishes: Wishes) -> Wishes:
    """Every hour like the one with the greatest load of each participant."""
    shape = wishes.load_kw.shape
    peak = (wishes.load_kw + wishes.margin_kw).max(axis=1, keepdims=True)
    reactive = wishes.load_kvar.max(axis=1, keepdims=True)
    return Wishes(
        load_kw=np.broadcast_to(peak, shape),
        load_kvar=np.broadcast_to(reactive, shape),
        margin_kw=np.zeros(shape),
        export_kw=wishes.export_kw,
        import_kw=wishes.import_kw,
    )


def band(network: Network, correction: Correction) -> tuple[Floats, Floats]:
    """Lower and upper voltage ``(n,)`` [pu], narrowed where the meters disagree with the model.

    Never beyond the middle of the band.
    """
    middle = (network.v_min_pu + network.v_max_pu) / 2.0
    upper = np.maximum(network.v_max_pu - correction.narrow_upper_pu, middle)
    lower = np.minimum(network.v_min_pu + correction.narrow_lower_pu, middle)
    return lower, upper


def _limits(network: Network, correction: Correction, hours: int) -> Limits:
    """The narrowed band in every hour."""
    shape = (network.feeder.n_bus, hours)
    lower, upper = band(network, correction)
    return Limits(
        v_min_pu=np.broadcast_to(lower[:, None], shape),
        v_max_pu=np.broadcast_to(upper[:, None], shape),
        loading=network.loading,
    )

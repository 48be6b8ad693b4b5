"""Random feeders with random communities for the envelopes' tests."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes, Offer, Wishes
from peergrid.envelopes.certify import Certified, certify
from peergrid.envelopes.doe import Allocation, Objective, allocate
from peergrid.envelopes.limits import Limits, Network, limits_of
from peergrid.envelopes.rows import Rows
from peergrid.network.feeder import Feeder, Floats, Ints
from peergrid.network.linear import lindistflow
from peergrid.network.power_flow import PowerFlow
from tests.strategies import radial_feeders

HOURS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A network, its participants and what they wish."""

    network: Network
    at: Ints
    wishes: Wishes
    background: tuple[Floats, Floats]
    count_on_load: bool = False

    @property
    def feeder(self) -> Feeder:
        return self.network.feeder

    @property
    def limits(self) -> Limits:
        return limits_of(self.network, self.at, self.wishes.firm(), self.background)

    @property
    def offer(self) -> Offer:
        return self.wishes.offer(count_on_load=self.count_on_load)

    @property
    def most(self) -> Floats:
        offer = self.offer
        return offer.extent(offer.most)

    def certified(
        self, objective: Objective = "proportional", hours: Ints | None = None, alpha: float = 2.0
    ) -> Certified[Allocation]:
        """Operating envelopes that the exact power flow was asked about."""
        offer = self.offer

        def share_out(rows: Rows) -> tuple[Boxes, Allocation]:
            found = allocate(rows, offer, objective, alpha)
            return found.boxes, found

        return certify(self.limits, self.most + offer.spare, share_out, hours)

    def flow(self, p_kw: Floats, q_kvar: Floats) -> PowerFlow:
        """Exact power flow with these injections of the participants."""
        return self.limits.flow(p_kw, q_kvar)


@st.composite
def cases(
    draw: Any,
    *,
    shunts: bool = True,
    transformers: bool = True,
    max_bus: int = 10,
    **rules: Any,
) -> Case:
    """A community on a random radial feeder, see :func:`community`."""
    feeder = draw(
        radial_feeders(shunts=shunts, transformers=transformers, generation=False, max_bus=max_bus)
    )
    steepest = np.clip(feeder.x_pu, feeder.r_pu / 3.0, 3.0 * feeder.r_pu)
    feeder = replace(feeder, x_pu=steepest)
    return community(feeder, draw(st.integers(0, 10**6)), **rules)


def community(
    feeder: Feeder,
    seed: int,
    *,
    band: tuple[float, float] = (0.9, 1.1),
    greed: float = 3.0,
    rated: bool = False,
    rise_pu: float | None = None,
    sigma: float = 0.0,
    count: int | None = None,
    count_on_load: bool = False,
    hours: int = HOURS,
) -> Case:
    """Participants at random buses; ``greed`` is their total wish in units of ``base_mva``.

    Several may share a bus, some have no load, some no contract, some trade reactive power. With
    ``rated`` a branch carries twice the firm load, and a random part of what is wished.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 2 * feeder.n_bus)) if count is None else count
    at = rng.integers(1, feeder.n_bus, count)
    shape, base_kw = (count, hours), 1000.0 * feeder.base_mva

    def some(share: float, most: float) -> Floats:
        chosen = rng.random((count, 1)) < share
        return rng.uniform(0.0, most, shape) * base_kw / count * chosen

    load = some(0.8, 0.3)
    wishes = Wishes(
        load_kw=load,
        load_kvar=load * rng.uniform(-0.1, 0.5, (count, 1)),
        margin_kw=load * rng.uniform(0.0, 0.5, (count, 1)),
        export_kw=some(0.7, greed),
        import_kw=some(0.7, greed),
        q_up_kvar=some(0.4, 0.4 * greed),
        q_down_kvar=some(0.4, 0.4 * greed),
    )
    nobody = ~np.isin(np.arange(feeder.n_bus), at)
    drawn = rng.uniform(-0.02, 0.0, feeder.n_bus)[:, None] * rng.uniform(0.5, 1.0, hours)
    background = np.where(nobody[:, None], drawn, 0.0) * base_kw
    background[0] = 0.0
    unlimited = np.full(feeder.n_bus, np.inf)
    limited = replace(feeder, i_max_ka=unlimited, i_max_parent_ka=unlimited)
    if rated:
        firm = -background
        np.add.at(firm, at, load + wishes.margin_kw)
        most = firm.copy()
        np.add.at(most, at, wishes.export_kw + wishes.import_kw)
        limited = _rated(feeder, firm, most, rng)
    network = Network(
        feeder=limited,
        model=lindistflow(limited),
        v_min_pu=band[0],
        v_max_pu=band[1],
        rise_pu=rise_pu,
        load_sigma=sigma,
        common_sigma=sigma / 2.0,
    )
    return Case(
        network=network,
        at=at,
        wishes=wishes,
        background=(background, 0.3 * background),
        count_on_load=count_on_load,
    )


def _rated(feeder: Feeder, firm_kw: Floats, most_kw: Floats, rng: np.random.Generator) -> Feeder:
    model = lindistflow(feeder)
    need, wish = (np.abs(model.branch_flow_kw(p)).max(axis=1) for p in (firm_kw, most_kw))
    limit_kw = np.maximum(2.0 * need, rng.uniform(0.2, 1.5, feeder.n_bus) * wish)
    ampere = np.maximum(limit_kw, 1.0) / (np.sqrt(3.0) * feeder.vn_kv)
    vn_parent = feeder.vn_kv[np.maximum(feeder.parent, 0)]
    at_parent = ampere * feeder.vn_kv / vn_parent
    return replace(feeder, i_max_ka=ampere / 1000.0, i_max_parent_ka=at_parent / 1000.0)


def points(
    boxes: Boxes, seed: int, count: int, hours: Ints | None = None
) -> list[tuple[Floats, Floats]]:
    """Both extreme corners, random corners, and random interior points of the boxes."""
    boxes = boxes if hours is None else boxes.hours(hours)
    rng = np.random.default_rng(seed)
    shape = boxes.p_max_kw.shape
    shares = [(np.ones(shape), np.ones(shape)), (np.zeros(shape), np.zeros(shape))]
    for k in range(count):
        p, q = rng.random(shape), rng.random(shape)
        shares.append((p, q) if k % 2 else (np.round(p), np.round(q)))
    return [
        (
            boxes.p_min_kw + p * (boxes.p_max_kw - boxes.p_min_kw),
            boxes.q_min_kvar + q * (boxes.q_max_kvar - boxes.q_min_kvar),
        )
        for p, q in shares
    ]


def broken(limits: Limits, boxes: Boxes, seed: int, count: int) -> tuple[float, float]:
    """What random points of boxes break at most: voltage [pu], and loading relative to its limit.

    All points at once: the hours of ``limits`` are repeated ``count + 2`` times.
    """
    drawn = points(boxes, seed, count)
    many = limits.only(np.tile(np.arange(limits.hours), len(drawn)))
    flow = many.flow(*(np.concatenate([d[k] for d in drawn], axis=1) for k in (0, 1)))
    if not flow.converged.all():
        return np.inf, np.inf
    vm = flow.vm_pu[1:]
    outside = np.maximum(vm - many.v_max_pu[1:], many.v_min_pu[1:] - vm)
    loading = flow.loading[1:] / many.loading_max[1:]
    return float(outside.max(initial=0.0)), float(loading.max(initial=0.0))

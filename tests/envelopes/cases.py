"""Random feeders with random communities for the envelopes' tests."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes, Wishes
from peergrid.envelopes.certify import injections
from peergrid.envelopes.envelope import Envelope, Network, dynamic
from peergrid.envelopes.feedback import Correction
from peergrid.network.feeder import Feeder, Floats, Ints
from peergrid.network.linear import lindistflow
from peergrid.network.power_flow import PowerFlow, solve
from tests.strategies import radial_feeders

HOURS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A network, its participants and what they wish."""

    network: Network
    at: Ints
    wishes: Wishes
    background: tuple[Floats, Floats]

    @property
    def feeder(self) -> Feeder:
        return self.network.feeder

    def dynamic(self, correction: Correction | None = None) -> Envelope:
        trusted = correction or Correction.none(self.feeder.n_bus)
        return dynamic(self.network, self.at, self.wishes, trusted, self.background)

    def flow(self, p_kw: Floats, q_kvar: Floats) -> PowerFlow:
        """Exact power flow with these injections of the participants."""
        return solve(self.feeder, *injections(self.at, p_kw, q_kvar, self.background))


@st.composite
def cases(
    draw: Any,
    *,
    shunts: bool = False,
    transformers: bool = True,
    rated: bool = False,
    band: tuple[float, float] = (0.9, 1.1),
    greed: float = 3.0,
) -> Case:
    """A community on a random radial feeder; wishes may be far beyond what the feeder carries."""
    feeder = draw(
        radial_feeders(shunts=shunts, transformers=transformers, generation=False, max_bus=10)
    )
    steepest = np.clip(feeder.x_pu, feeder.r_pu / 3.0, 3.0 * feeder.r_pu)
    feeder = replace(feeder, x_pu=steepest)
    if not rated:
        unlimited = np.full(feeder.n_bus, np.inf)
        feeder = replace(feeder, i_max_ka=unlimited, i_max_parent_ka=unlimited)
    return community(feeder, draw(st.integers(0, 10**6)), band=band, greed=greed, rated=rated)


def community(
    feeder: Feeder,
    seed: int,
    *,
    band: tuple[float, float] = (0.9, 1.1),
    greed: float = 3.0,
    rated: bool = False,
) -> Case:
    """Participants at random buses; ``greed`` is their total wish in units of ``base_mva``.

    With ``rated`` a branch carries twice the firm load, and a random part of what is wished.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 2 * feeder.n_bus))
    at = rng.integers(1, feeder.n_bus, count)
    shape = (count, HOURS)
    base_kw = 1000.0 * feeder.base_mva
    load = rng.uniform(0.0, 0.3, shape) * base_kw / count
    export = rng.uniform(0.0, greed, shape) * base_kw / count * (rng.random((count, 1)) < 0.7)
    drawn = rng.uniform(0.0, greed, shape) * base_kw / count * (rng.random((count, 1)) < 0.7)
    wishes = Wishes(
        load_kw=load,
        load_kvar=load * rng.uniform(0.0, 0.5, (count, 1)),
        margin_kw=load * rng.uniform(0.0, 0.5, (count, 1)),
        export_kw=export,
        import_kw=drawn,
    )
    nobody = ~np.isin(np.arange(feeder.n_bus), at)
    background_kw = np.where(nobody, rng.uniform(-0.02, 0.0, feeder.n_bus), 0.0) * base_kw
    background_kw[0] = 0.0
    background = np.repeat(background_kw[:, None], HOURS, axis=1)
    if rated:
        firm = -background
        np.add.at(firm, at, load + wishes.margin_kw)
        most = firm.copy()
        np.add.at(most, at, export + drawn)
        feeder = _rated(feeder, firm, most, rng)
    network = Network(feeder=feeder, model=lindistflow(feeder), v_min_pu=band[0], v_max_pu=band[1])
    return Case(network=network, at=at, wishes=wishes, background=(background, 0.3 * background))


def _rated(feeder: Feeder, firm_kw: Floats, most_kw: Floats, rng: np.random.Generator) -> Feeder:
    model = lindistflow(feeder)
    need, wish = (np.abs(model.branch_flow_kw(p)).max(axis=1) for p in (firm_kw, most_kw))
    limit_kw = np.maximum(2.0 * need, rng.uniform(0.2, 1.5, feeder.n_bus) * wish)
    ampere = np.maximum(limit_kw, 1.0) / (np.sqrt(3.0) * feeder.vn_kv)
    vn_parent = feeder.vn_kv[np.maximum(feeder.parent, 0)]
    at_parent = ampere * feeder.vn_kv / vn_parent
    return replace(feeder, i_max_ka=ampere / 1000.0, i_max_parent_ka=at_parent / 1000.0)


def points(boxes: Boxes, seed: int, count: int) -> list[tuple[Floats, Floats]]:
    """Both extreme corners, random corners, and random interior points of the boxes."""
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


def firm_is_inside(case: Case, *, margin_pu: float = 0.0) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Hours whose firm load alone, greatest and smallest, keeps the band, ``(T,)``."""
    wishes = case.wishes
    inside = np.ones(HOURS, dtype=bool)
    for load in (wishes.load_kw + wishes.margin_kw, wishes.load_kw - wishes.margin_kw):
        flow = case.flow(-load, -load * wishes.reactive_share)
        vm = np.where(np.isfinite(flow.vm_pu), flow.vm_pu, np.inf)[1:]
        low, high = case.network.v_min_pu + margin_pu, case.network.v_max_pu - margin_pu
        inside &= ((vm >= low) & (vm <= high)).all(axis=0)
    return inside

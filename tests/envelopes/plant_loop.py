"""A closed loop without a co-simulation: promises from what meters taught, kept by the true plant.

Each hour the corrected model says how far all communities may go together, up or down, so that its
exact voltages stay inside the band less narrowing and margin. The true plant is then taken to these
corners; afterwards it is metered at the hour's operating point.
"""

from dataclasses import dataclass, replace

import numpy as np

from peergrid.envelopes.feedback import (
    Correction,
    Lesson,
    Measurements,
    corrected,
    lesson,
    posterior_margin_pu,
)
from peergrid.envelopes.feedback_injections import Expected
from peergrid.network.feeder import Bools, Feeder, Floats
from peergrid.network.power_flow import PowerFlow, solve

HALVINGS = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Plant:
    """The true grid and its operator's knowledge.

    ``load_kw`` and ``load_kvar`` ``(n, T)`` are true; ``forecast`` is what was expected of them;
    ``flexible_kw`` is what the communities inject besides. ``pattern_kw`` ``(n, 2)`` is how their
    power is spread at a reach of one, exporting and importing.
    """

    model: Feeder
    true: Feeder
    load_kw: Floats
    load_kvar: Floats
    flexible_kw: Floats
    forecast: tuple[Floats, Floats]
    pattern_kw: Floats
    metered: Bools
    band: tuple[float, float]

    @property
    def hours(self) -> int:
        return int(self.load_kw.shape[1])

    def seen(self, hour: int) -> Measurements:
        """What the meters report of an hour."""
        p_kw = self.flexible_kw[:, hour] - self.load_kw[:, hour]
        q_kvar = -self.load_kvar[:, hour]
        flow = solve(self.true, p_kw[:, None], q_kvar[:, None])
        silent = np.where(self.metered, 0.0, np.nan)
        return Measurements(
            vm_pu=flow.vm_pu[:, 0] + silent,
            p_inj_kw=p_kw + silent,
            q_inj_kvar=q_kvar + silent,
            head_p_kw=float(flow.head_p_kw[0]),
            head_q_kvar=float(flow.head_q_kvar[0]),
            loss_kw=float(flow.loss_kw[0]),
        )

    def expected(self, hour: int) -> Expected:
        """What the operator expects of buses without a power meter."""
        flexible_kw = self.flexible_kw[:, hour]
        return Expected(
            controlled_kw=flexible_kw,
            controlled_kvar=np.zeros_like(flexible_kw),
            load_kw=self.forecast[0][:, hour],
            load_kvar=self.forecast[1][:, hour],
        )

    def learn(self, hour: int, before: Correction, seen: Measurements | None = None) -> Lesson:
        """What the operator learns from an hour."""
        return lesson(
            self.model,
            self.seen(hour) if seen is None else seen,
            before,
            float(self.forecast[0][:, hour].sum()),
            float(self.flexible_kw[:, hour].sum()),
            self.expected(hour),
        )


def random_feeder(seed: int, *, buses: int | None = None, drop_pu: float = 0.055) -> Feeder:
    """A medium-voltage feeder of 8 to 60 buses; nominal load pulls its end down by ``drop_pu``."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60)) if buses is None else buses
    parent = [-1]
    for i in range(1, n):
        parent.append(int(rng.integers(max(parent[-1], 0, i - 6), i)))
    load_kw = rng.uniform(0.1, 1.0, n) * (rng.random(n) < 0.8)
    load_kw[0], load_kw[-1] = 0.0, 0.5
    load_kw *= 3000.0 / load_kw.sum()
    r_pu = 1e-4 * rng.uniform(0.2, 1.0, n)
    feeder = Feeder(
        name="random",
        base_mva=1.0,
        bus_id=np.arange(n),
        vn_kv=np.full(n, 12.66),
        parent=np.array(parent),
        r_pu=r_pu,
        x_pu=r_pu * rng.uniform(0.3, 1.5, n),
        ratio=np.ones(n),
        shift_deg=np.zeros(n),
        branch_kind=("line",) * n,
        branch_index=np.arange(n) - 1,
        g_sh_pu=np.zeros(n),
        b_sh_pu=np.zeros(n),
        p_load_kw=load_kw,
        q_load_kvar=0.4 * load_kw,
        slack_vm_pu=1.0,
        i_max_ka=np.full(n, 0.4),
        rating_assumed=np.zeros(n, dtype=bool),
    )
    flow = solve(feeder, -load_kw[:, None], -0.4 * load_kw[:, None])
    return feeder.scaled_impedance(drop_pu / float(1.0 - flow.vm_pu.min()))


def make_plant(
    model: Feeder,
    seed: int,
    *,
    hours: int = 6,
    scale: float = 1.05,
    spread: float = 0.10,
    load: float = 1.03,
    metered_share: float = 1.0,
    forecast_sd: float = 0.0,
    band: tuple[float, float] = (0.94, 1.06),
    power_factor: float = 0.95,
) -> Plant:
    """Lines and loads that differ from the model, and a day-like hour after hour operation."""
    rng = np.random.default_rng(seed)
    n = model.n_bus
    factors = scale * np.maximum(1.0 + spread * rng.standard_normal(n), 0.5)
    shape = rng.uniform(0.3, 0.9, (1, hours)) * rng.uniform(0.7, 1.3, (n, hours))
    nominal = np.maximum(model.p_load_kw, 0.0)
    nominal_kvar = np.maximum(model.q_load_kvar, 0.0)
    expected, expected_kvar = nominal[:, None] * shape, nominal_kvar[:, None] * shape
    error = np.maximum(1.0 + forecast_sd * rng.standard_normal((n, hours)), 0.0)
    members = rng.random(n) < 0.4
    members[0], members[-1] = False, True
    size_kw = np.where(members, rng.uniform(0.5, 1.5, n), 0.0) * nominal.sum() / members.sum()
    metered = np.zeros(n, dtype=bool)
    count = max(round(metered_share * (n - 1)), 1)
    metered[1 + rng.permutation(n - 1)[:count]] = True
    metered[0] = metered_share == 1.0
    return Plant(
        model=model,
        true=model.scaled_branches(factors),
        load_kw=load * expected,
        load_kvar=load * expected_kvar,
        flexible_kw=size_kw[:, None] * rng.uniform(-0.3, 0.8, (n, hours)),
        forecast=(expected * error, expected_kvar * error),
        pattern_kw=np.stack([size_kw, -size_kw * power_factor], axis=1),
        metered=metered,
        band=band,
    )


def at_corners(plant: Plant, feeder: Feeder, hour: int, reach: Floats) -> PowerFlow:
    """A feeder with all communities at ``reach`` ``(2,)``: up, and down."""
    p_kw = plant.pattern_kw * reach - plant.load_kw[:, [hour]]
    q_kvar = np.repeat(-plant.load_kvar[:, [hour]], 2, axis=1)
    return solve(feeder, p_kw, q_kvar)


def promise(plant: Plant, correction: Correction, hour: int) -> Floats:
    """Largest common reach up and down ``(2,)`` that the corrected model allows; 0 if none."""
    feeder = corrected(plant.model, correction)
    low, high = np.zeros(2), np.full(2, 50.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        flow = at_corners(plant, feeder, hour, middle)
        fits = room_pu(plant, correction, flow) >= 0.0
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


def room_pu(plant: Plant, correction: Correction, flow: PowerFlow) -> Floats:
    """Least distance to the narrowed band with the margin, ``(T,)``; minus infinity if unsolved."""
    margin = posterior_margin_pu(correction, flow)
    top = plant.band[1] - correction.narrow_upper_pu[:, None] - margin
    bottom = plant.band[0] + correction.narrow_lower_pu[:, None] + margin
    room = np.minimum(top - flow.vm_pu, flow.vm_pu - bottom)[1:].min(axis=0)
    return np.where(np.isfinite(room), room, -np.inf)


def violation_pu(plant: Plant, hour: int, reach: Floats) -> float:
    """By how much the true plant leaves the band at the promised corners, beyond load alone."""
    flow = at_corners(plant, plant.true, hour, reach)
    idle = at_corners(plant, plant.true, hour, np.zeros(2))
    low, high = plant.band
    outside = np.maximum(
        flow.vm_pu - np.maximum(high, idle.vm_pu), np.minimum(low, idle.vm_pu) - flow.vm_pu
    )[1:]
    return float(np.maximum(outside, 0.0).max())


@dataclass(frozen=True, kw_only=True, eq=False)
class Loop:
    """Violation of the promise by hour ``(T,)`` [pu]; reach ``(T, 2)``, and that of the truth."""

    violation_pu: Floats
    reach: Floats
    true_reach: Floats
    last: Correction

    @property
    def width(self) -> float:
        """Width of the promises over that of an operator who knows the plant."""
        return float(self.reach.sum() / self.true_reach.sum())


def run_loop(plant: Plant, start: Correction | None = None, *, learning: bool = True) -> Loop:
    """Promise, check, meter, learn; the first hour knows of nothing."""
    n = plant.model.n_bus
    correction = Correction.first(n) if start is None else start
    knows = replace(plant, model=plant.true)
    violations, reaches, truths = [], [], []
    for hour in range(plant.hours):
        reach = promise(plant, correction, hour)
        violations.append(violation_pu(plant, hour, reach))
        reaches.append(reach)
        truths.append(promise(knows, Correction.none(n), hour))
        if learning:
            correction = plant.learn(hour, correction).correction
    return Loop(
        violation_pu=np.array(violations),
        reach=np.array(reaches),
        true_reach=np.array(truths),
        last=correction,
    )

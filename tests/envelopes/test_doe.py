"""Rules by which an operator shares out room: closed forms, and independent solvers."""

from dataclasses import dataclass, replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from peergrid.envelopes.boxes import Offer, Wishes
from peergrid.envelopes.doe import OBJECTIVES, Allocation, Objective, allocate, shared_demand
from peergrid.envelopes.rows import Rows
from peergrid.errors import DataError
from peergrid.network.feeder import Floats
from tests.envelopes.cases import cases

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
FEW = settings(max_examples=25, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sharing:
    """Rows and what is to be shared out in them."""

    rows: Rows
    offer: Offer

    def by(self, objective: Objective, alpha: float = 2.0) -> Allocation:
        return allocate(self.rows, self.offer, objective, alpha)

    @property
    def demand(self) -> Floats:
        return shared_demand(self.rows, self.offer)

    @property
    def room(self) -> Floats:
        return self.rows.limit - self.rows.used(self.offer.base)


def random_rows(rng: np.random.Generator, participants: int, count: int, hours: int) -> Rows:
    """Rows of one sign each, as those of voltages, with room for nobody or for all."""
    sign = rng.choice([-1.0, 1.0], (count, 1, 1))
    shape = (count, participants, hours)
    limit = rng.uniform(0.1, 1.0, (count, hours)) * participants
    limit[rng.random((count, hours)) < 0.1] = np.inf
    return Rows(
        a=sign * rng.uniform(0.2, 1.0, shape) * (rng.random(shape) < 0.8),
        b=sign * rng.uniform(0.0, 1.0, shape) * (rng.random(shape) < 0.8),
        limit=limit,
        at=np.ones(count, dtype=np.int64),
        kind=np.where(sign[:, 0, 0] > 0.0, "upper", "lower"),
    )


@st.composite
def sharings(draw: Any, *, least: bool = False) -> Sharing:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    participants, hours = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    rows = random_rows(rng, participants, int(rng.integers(1, 6)), hours)
    width = rng.uniform(0.2, 3.0, (4 * participants, hours))
    nothing = np.zeros_like(width)
    shares = rng.uniform(0.0, 0.2, (2 * participants, hours)) if least else nothing[::2]
    return Sharing(
        rows=rows,
        offer=Offer(
            base=nothing,
            width=width,
            least=shares,
            most=np.ones((2 * participants, hours)),
            sure=nothing,
            spare=nothing,
        ),
    )


# ---- laws of all rules


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_rows_hold_and_shares_stay_in_their_range(objective: Objective) -> None:
    @given(sharings(least=True))
    @FEW
    def holds(sharing: Sharing) -> None:
        found, offer = sharing.by(objective), sharing.offer
        assert np.all(found.share >= offer.least)
        assert np.all(found.share <= offer.most)
        granted = sharing.rows.used(offer.extent(offer.least))
        most = np.maximum(sharing.rows.limit, granted)
        assert np.all(sharing.rows.used(found.boxes.extent) <= most + 1e-9 * (1.0 + granted))

    holds()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_binding_rows_are_those_without_room(objective: Objective) -> None:
    @given(sharings())
    @FEW
    def holds(sharing: Sharing) -> None:
        found = sharing.by(objective)
        left = sharing.rows.limit - sharing.rows.used(found.boxes.extent)
        size = np.abs(sharing.room)
        counts = np.isfinite(left)
        assert np.all(counts[found.binding])
        assert np.all(left[found.binding] <= 1e-5 * size[found.binding])
        wanted = (sharing.demand * (found.share < 1.0).T[:, None, :]).sum(axis=2).T > 0.0
        assert np.all(found.binding[counts & (left <= 1e-9 * size) & wanted])
        if objective == "max-min":
            enters = (sharing.demand.transpose(1, 2, 0) > 0.0) & found.binding[:, None, :]
            assert np.all((found.share >= 1.0) | enters.any(axis=0))

    holds()


@given(sharings())
@FEW
def test_the_rule_must_be_known(sharing: Sharing) -> None:
    with pytest.raises(DataError, match="objective"):
        allocate(sharing.rows, sharing.offer, "unfair")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="alpha"):
        sharing.by("alpha-fair", -1.0)


# ---- closed forms


@given(st.integers(0, 10**6))
@LAWS
def test_proportional_shares_on_one_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    participants = int(rng.integers(1, 6))
    rows = random_rows(rng, participants, 1, 2)
    rows = replace(rows, a=np.abs(rows.a), b=np.abs(rows.b))
    width = rng.uniform(0.0, 3.0, (4 * participants, 2))
    nothing = np.zeros_like(width)
    offer = Offer(
        base=nothing,
        width=width,
        least=nothing[::2],
        most=nothing[::2] + 1.0,
        sure=nothing,
        spare=nothing,
    )
    share = allocate(rows, offer).share
    used = (rows.demand[:, 0] * width.T).sum(axis=1)
    expected = np.minimum(rows.limit[0] / np.maximum(used, 1e-300), 1.0)
    np.testing.assert_allclose(share[:participants], np.tile(expected, (participants, 1)))
    np.testing.assert_array_equal(share[participants:], 1.0)


@given(sharings())
@LAWS
def test_proportional_shares_are_the_same_for_all(sharing: Sharing) -> None:
    share = sharing.by("proportional").share
    half = len(share) // 2
    np.testing.assert_array_equal(share[:half], np.tile(share[0], (half, 1)))
    np.testing.assert_array_equal(share[half:], np.tile(share[half], (half, 1)))


@given(sharings(least=True))
@LAWS
def test_equal_means_equal_power_unless_at_an_end(sharing: Sharing) -> None:
    found, offer = sharing.by("equal"), sharing.offer
    half = len(found.share) // 2
    kw = found.share * offer.width[: 2 * half]
    for side in (slice(0, half), slice(half, 2 * half)):
        open_ = (found.share < offer.most - 1e-9) & (found.share > offer.least + 1e-9)
        for h in range(kw.shape[1]):
            free = kw[side, h][open_[side, h]]
            if len(free):
                np.testing.assert_allclose(free, free[0], rtol=1e-9)
                capped = (found.share >= offer.most - 1e-9)[side, h]
                assert np.all(kw[side, h][capped] <= free[0] * (1.0 + 1e-9))


# ---- fairness


@given(sharings())
@LAWS
def test_max_min_leaves_no_share_that_could_rise_alone(sharing: Sharing) -> None:
    share, demand, room = sharing.by("max-min").share, sharing.demand, sharing.room
    for h in range(share.shape[1]):
        rows = np.isfinite(room[:, h])
        if not rows.any():
            continue
        for k in range(len(share)):
            low = np.where(share[:, h] <= share[k, h] + 1e-9, share[:, h], 0.0)
            goal = -np.eye(len(share))[k]
            bounds = [(x, 1.0) for x in low]
            found = linprog(goal, demand[h][rows], room[rows, h] + 1e-12, bounds=bounds)
            assert -found.fun <= share[k, h] + 1e-6


def utility(share: Any, weight: Floats, alpha: float) -> Any:
    if alpha == 0.0:
        return cp.sum(cp.multiply(weight, share))
    if alpha == 1.0:
        return cp.sum(cp.multiply(weight, cp.log(share)))
    return cp.sum(cp.multiply(weight, cp.power(share, 1.0 - alpha))) / (1.0 - alpha)


@pytest.mark.parametrize(
    ("objective", "alpha"),
    [("log", 1.0), ("alpha-fair", 2.0), ("alpha-fair", 0.5), ("alpha-fair", 1.0), ("width", 0.0)],
)
def test_an_interior_point_solver_finds_the_same_utility(
    objective: Objective, alpha: float
) -> None:
    @given(sharings(least=True))
    @FEW
    def holds(sharing: Sharing) -> None:
        share, offer = sharing.by(objective, alpha).share, sharing.offer
        width = offer.width[: len(share)]
        for h in range(share.shape[1]):
            rows = np.isfinite(sharing.room[:, h])
            weight = width[:, h] / width.max() if objective == "width" else np.ones(len(share))
            used, room = sharing.demand[h][rows], sharing.room[rows, h]
            if not rows.any() or np.any(used @ offer.least[:, h] >= room):
                continue
            x = cp.Variable(len(share))
            limits = [used @ x <= room, x >= offer.least[:, h], x <= offer.most[:, h]]
            problem = cp.Problem(cp.Maximize(utility(x, weight, alpha)), limits)
            best = problem.solve(
                solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
            )
            mine = utility(cp.Constant(share[:, h]), weight, alpha).value
            assert mine == pytest.approx(best, rel=1e-6, abs=1e-6)

    holds()


@given(sharings())
@FEW
def test_large_alpha_comes_near_to_max_min(sharing: Sharing) -> None:
    fair, near = sharing.by("max-min").share, sharing.by("alpha-fair", 12.0).share
    assert np.all(np.abs(near.min(axis=0) - fair.min(axis=0)) <= 0.2 * fair.min(axis=0) + 1e-6)
    nearer = sharing.by("alpha-fair", 3.0).share
    assert np.all(near.min(axis=0) >= nearer.min(axis=0) - 1e-6)


@given(sharings())
@FEW
def test_a_larger_alpha_is_fairer_and_gives_less_in_total(sharing: Sharing) -> None:
    shares = [sharing.by("alpha-fair", alpha).share for alpha in (0.0, 1.0, 4.0)]
    total = [share.sum(axis=0) for share in shares]
    assert np.all(total[0] >= total[1] - 1e-6)
    assert np.all(total[1] >= total[2] - 1e-6)


@given(sharings())
@FEW
def test_participants_that_are_alike_get_the_same(sharing: Sharing) -> None:
    """All at one bus with one contract: rules differ by whom they favour, and here is nobody."""
    rows, offer = sharing.rows, sharing.offer
    same = replace(
        rows,
        a=np.repeat(rows.a[:, :1], rows.a.shape[1], axis=1),
        b=np.repeat(rows.b[:, :1], rows.b.shape[1], axis=1),
    )
    count = rows.a.shape[1]
    width = np.concatenate([np.tile(part[:1], (count, 1)) for part in np.split(offer.width, 4)])
    alike = Sharing(rows=same, offer=replace(offer, width=width))
    shares = [alike.by(objective).share for objective in OBJECTIVES]
    for share in shares:
        np.testing.assert_allclose(share, shares[0], atol=1e-5)


# ---- load that is sure to be there, and room that nobody asked for


@given(cases(greed=4.0, band=(0.95, 1.05), count_on_load=True), st.sampled_from(OBJECTIVES))
@FEW
def test_load_is_credited_only_where_room_is_short(case: Any, objective: Objective) -> None:
    certified = case.certified(objective)
    found, rows = certified.found, certified.rows
    assert np.all((found.credit >= 0.0) & (found.credit <= 1.0))
    relief = rows.used(case.offer.sure) > 0.0
    full = (found.binding & relief).any(axis=0)
    assert np.all(found.credit[full] >= 1.0 - 1e-6)
    half = len(case.at)
    assert np.all(found.spare[(found.share[half:] < 1.0).any(axis=0)] == 0.0)


def one_wish(load_kw: float, export_kw: float, import_kw: float) -> Wishes:
    def of(kw: float) -> Floats:
        return np.array([[kw]])

    return Wishes(
        load_kw=of(load_kw),
        load_kvar=of(0.0),
        margin_kw=of(0.0),
        export_kw=of(export_kw),
        import_kw=of(import_kw),
    )


def one_row(sign: float, limit: float) -> Rows:
    return Rows(
        a=np.array([[[sign]]]),
        b=np.array([[[0.0]]]),
        limit=np.array([[limit]]),
        at=np.array([1]),
        kind=np.array(["upper" if sign > 0.0 else "lower"]),
    )


@pytest.mark.parametrize(
    ("limit", "export", "credit", "p_max"),
    [(10.0, 8.0, 0.0, 8.0), (10.0, 12.0, 0.5, 10.0), (10.0, 20.0, 1.0, 10.0)],
)
def test_as_much_load_is_credited_as_is_needed(
    limit: float, export: float, credit: float, p_max: float
) -> None:
    offer = one_wish(4.0, export, 0.0).offer(count_on_load=True)
    found = allocate(one_row(1.0, limit), offer)
    assert found.credit[0] == pytest.approx(credit)
    assert found.boxes.p_max_kw[0, 0] == pytest.approx(p_max)
    without = allocate(one_row(1.0, limit), one_wish(4.0, export, 0.0).offer(count_on_load=False))
    assert without.credit[0] == 0.0


@pytest.mark.parametrize(
    ("limit", "spare", "p_min"), [(5.0, 0.0, -5.0), (8.0, 0.5, -8.0), (30.0, 1.0, -10.0)]
)
def test_room_that_nobody_asked_for_goes_to_load(limit: float, spare: float, p_min: float) -> None:
    found = allocate(one_row(-1.0, limit), one_wish(4.0, 0.0, 2.0).offer(count_on_load=False))
    assert found.spare[0] == pytest.approx(spare)
    assert found.boxes.p_min_kw[0, 0] == pytest.approx(p_min)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nobody_asks_for_anything(objective: Objective) -> None:
    nothing = one_wish(0.0, 0.0, 0.0).offer(count_on_load=True)
    found = allocate(one_row(1.0, 1.0), nothing, objective)
    assert not found.boxes.extent.any()
    assert not found.binding.any()

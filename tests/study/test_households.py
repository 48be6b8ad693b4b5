"""The households' day: laws of its figures, signs and bands, and the command."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.market.stochastic import Settings, plan
from peergrid.study.households.bands import BANDS, judged
from peergrid.study.households.campaign import (
    SeedRun,
    counted,
    run_cases,
    run_or_refuse,
    run_seeds,
    sweep_fees,
    value_of,
)
from peergrid.study.households.clients import Sizes, clients
from peergrid.study.households.day import Asked, study_day
from peergrid.study.households.figures import client_cost_eur, figures
from peergrid.study.households.flows import Flows, flows_of
from peergrid.study.households.mix import SOURCES, attributed_kwh, sources_kw
from peergrid.study.households.profiles import profiles
from peergrid.study.households.published import SECTIONS
from tests.cli.conftest import Command


@cache
def flows(case: int = 1, scenarios: int = 3) -> Flows:
    day = study_day(Asked(case=case, scenarios=scenarios))
    return flows_of(plan(day.households), day)


@cache
def base_run() -> SeedRun:
    return run_cases(0, scenarios=1)


def random_flows(seed: int) -> Flows:
    """Flows that no plan would make: everybody does everything at once."""
    rng = np.random.default_rng(seed)
    shape = (4, 2, 6)

    def power() -> np.ndarray:
        return rng.uniform(0.0, 5.0, shape) * (rng.random(shape) < 0.7)

    sold = power()
    bought = power()
    bought *= sold.sum(axis=0) / np.maximum(bought.sum(axis=0), 1e-12)
    pv, out, into, grid = power(), power(), power(), power()
    used = rng.uniform(0.5, 1.0, shape)
    # what is left over is fed in, what is short is bought
    rest = grid + bought + pv + out - into - used - sold
    return Flows(
        names=("a", "b", "c.1", "c.2"),
        lines=("1-2", "2-3"),
        buses=("2", "3"),
        may_sell=np.array([True, False, True, True]),
        probability=np.array([0.3, 0.7]),
        dt_h=4.0,
        hour_of_day=4.0 * np.arange(6.0),
        buy_kw=grid + np.maximum(-rest, 0.0),
        sell_kw=np.maximum(rest, 0.0),
        buy_local_kw=bought,
        sell_local_kw=sold,
        pv_kw=pv,
        storage_out_kw=out,
        storage_in_kw=into,
        loading=rng.uniform(0.0, 1.5, (2, 2, 6)),
        vm_pu=rng.uniform(0.95, 1.05, (2, 2, 6)),
        price_import_eur_per_kwh=rng.uniform(0.1, 0.3, (2, 6)),
        price_feed_in_eur_per_kwh=np.full((2, 6), 0.05),
        fee_eur_per_kwh=0.012,
    )


EACH = pytest.mark.parametrize(
    "one", [lambda: flows(), lambda: random_flows(1), lambda: random_flows(2)]
)


@EACH
def test_shares_add_up_to_one(one) -> None:
    found = figures(one())
    for shares in (found.mix, found.charged_from):
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-12)
        assert tuple(shares) == SOURCES
    np.testing.assert_allclose(found.client_mix.sum(axis=0), 1.0, atol=1e-12)
    assert (found.client_mix >= 0.0).all()


@EACH
def test_uses_take_all_that_sources_give(one) -> None:
    seen = one()
    uses = (seen.used_kw, seen.storage_in_kw, seen.sell_kw, seen.sell_local_kw)
    taken = sum(attributed_kwh(seen, use) for use in uses)
    np.testing.assert_allclose(taken, seen.energy_kwh(sources_kw(seen)), atol=1e-5)


@EACH
def test_the_matrix_has_the_trades_in_its_rows_and_columns(one) -> None:
    seen = one()
    found = figures(seen)
    sold, bought = seen.paired
    matrix = found.trade_matrix_kwh
    np.testing.assert_allclose(matrix.sum(axis=1), seen.energy_kwh(sold), atol=1e-9)
    np.testing.assert_allclose(matrix.sum(axis=0), seen.energy_kwh(bought), atol=1e-9)
    np.testing.assert_allclose(matrix.sum(axis=1), seen.energy_kwh(seen.sell_local_kw), atol=1e-4)
    for power, total in ((found.sold_kw, sold), (found.bought_kw, bought)):
        np.testing.assert_allclose(seen.dt_h * power.sum(axis=1), seen.energy_kwh(total), atol=1e-9)


@EACH
def test_money_is_balanced(one) -> None:
    seen = one()
    found = figures(seen)
    retail = seen.buy_kw * seen.price_import_eur_per_kwh
    retail = retail - seen.sell_kw * seen.price_feed_in_eur_per_kwh
    fees = seen.fee_eur_per_kwh * seen.paired[1]
    paid = seen.energy_kwh(retail + fees).sum()
    assert found.client_cost_eur.sum() == pytest.approx(paid, abs=1e-9)
    assert found.cost_eur == pytest.approx(paid, abs=1e-9)


def test_trades_leave_nobody_worse_off_than_the_retailer_would() -> None:
    seen = flows()
    half = seen.fee_eur_per_kwh / 2.0
    middle = (seen.price_import_eur_per_kwh + seen.price_feed_in_eur_per_kwh) / 2.0
    assert (middle + half <= seen.price_import_eur_per_kwh).all()
    assert (middle - half >= seen.price_feed_in_eur_per_kwh).all()
    alone = seen.buy_kw + seen.buy_local_kw, seen.sell_kw + seen.sell_local_kw
    bill = alone[0] * seen.price_import_eur_per_kwh - alone[1] * seen.price_feed_in_eur_per_kwh
    assert (client_cost_eur(seen) <= seen.energy_kwh(bill) + 1e-6).all()


def test_consumption_is_what_is_used_lost_and_driven() -> None:
    day = study_day(Asked(scenarios=3))
    found = plan(day.households)
    seen, asked = flows_of(found, day), found.day
    stores = asked.stores.two_way
    trips = np.einsum("s,bst->", asked.probability, asked.stores.demand_kwh[stores])
    kept = found.energy_kwh[stores, :, -1] - asked.stores.e_now_kwh[stores, None]
    into, out = found.charge_kw[stores], found.discharge_kw[stores]
    eta_in, eta_out = asked.stores.eta_charge[stores], asked.stores.eta_discharge[stores]
    lost = into * (1.0 - eta_in[:, None, :]) + out * (1.0 / eta_out[:, None, :] - 1.0)
    rest = trips + (kept @ asked.probability).sum() + seen.energy_kwh(lost).sum()
    used = seen.energy_kwh(seen.used_kw).sum()
    assert seen.energy_kwh(seen.consumption_kw).sum() == pytest.approx(used + rest, abs=1e-3)


def test_the_ratings_overload_six_lines_of_the_base_day_by_construction() -> None:
    before = base_run().days[0]
    assert before.overloads == 6
    assert before.line_factor_peak == pytest.approx(1.13, abs=0.005)
    assert before.mix["grid"] == pytest.approx(1.0)
    assert np.isnan(before.p2p_noon_peak_h)
    deepest = before.names.index("w6")
    assert before.vm_min_pu[before.buses.index("95")] < before.vm_min_pu[before.buses.index("94")]
    assert clients(0)[deepest].bus == 95


def test_signs_and_bands_hold_on_the_base_day() -> None:
    run = base_run()
    assert [verdict.name for verdict in run.verdicts] == list(BANDS)
    assert [verdict.name for verdict in run.verdicts if not verdict.holds] == []
    assert run.holds


def test_bands_see_what_does_not_hold() -> None:
    days = base_run().days
    wrong = judged(days[1], days[0])
    assert not any(verdict.holds for verdict in wrong)
    assert np.isnan(next(v.value for v in wrong if v.name == "prosumers against consumers"))


def test_published_figures_have_ours_beside_them() -> None:
    days = base_run().days
    lines = [one.line(days) for entries in SECTIONS.values() for one in entries]
    json.dumps(lines, allow_nan=False)
    ours = {line["what"]: line["ours"] for line in lines}
    assert ours["lines overloaded, case 0"] == 6.0
    assert ours["total cost, case 1 against 0"] == pytest.approx(-16.1, abs=3.0)
    assert {line["kind"] for line in lines} == {
        *("by construction", "calibrated", "finding", "not reproduced")
    }


def test_a_campaign_runs_days_side_by_side_and_says_which_it_cannot_plan() -> None:
    told: list[int] = []
    runs = run_seeds([1, 2], scenarios=1, advance=told.append)
    assert [run.seed for run in runs] == [1, 2]
    assert told == [1, 2]
    assert runs[0].holds
    refused = run_or_refuse(3, 1, Settings(back_end="abacus", dives=False))  # type: ignore[arg-type]
    assert "back_end" in (refused.refused or "")
    counts = counted([*runs, refused])
    assert (counts["planned"], counts["refused"]) == (2, 1)
    alone = run_seeds([1], scenarios=1, processes=1)[0]
    assert alone.to_dict() == runs[0].to_dict()


def test_without_a_fee_trade_is_not_determined_and_a_high_one_ends_it() -> None:
    free, usual, dear = sweep_fees(0, 1, fees=(0.0, 0.012, 0.2))
    assert free.least_share <= free.p2p_share <= free.most_share
    assert free.most_share > free.least_share + 1e-5
    assert usual.least_share == usual.p2p_share == usual.most_share
    assert free.cost_eur < usual.cost_eur < dear.cost_eur * (1.0 + 1e-3)
    assert dear.p2p_share == pytest.approx(0.0, abs=1e-6)


def test_the_value_of_planning_is_not_negative() -> None:
    found = value_of(0, scenarios=2)
    slack = 2.0 * found["gap"] * found["cost_eur"]
    assert found["vss_eur"] >= -slack
    assert found["evpi_eur"] >= -slack


def test_clients_without_plants_have_no_sun() -> None:
    assert not profiles(clients(0), seed=0).pv_kw.any()
    assert profiles(clients(1), seed=0).pv_kw.any(axis=1).all()


def test_the_command_prints_and_writes_json(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "day.json"
    options = ["--scenarios", 1, "--seeds", 1, "--value", "--quiet", "--json", "--out", out]
    result = peergrid("households", *options)
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found == json.loads(out.read_text(encoding="utf-8"))
    assert list(found["cases"]) == ["0", "1", "2"]
    assert len(found["cases"]["1"]["client_mix"][0]) == 10
    assert found["campaign"]["counts"]["seeds"] == 1
    assert found["value"]["evpi_eur"] == pytest.approx(0.0, abs=0.5)
    assert all(one["where"] for one in found["published"])


def test_the_command_sets_cases_beside_the_published_one(peergrid: Command) -> None:
    result = peergrid("households", "--scenarios", 1, "--seeds", 1, "--quiet")
    assert result.code == 0
    for said in ("case 2", "-16.1", "-15.37 %", "by construction", "not reproduced", "1 of 1"):
        assert said in result.out


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--seeds", "-1"], "--seeds"),
        (["--scenarios", "0"], "1 or more"),
        (["--scenarios", "101"], "at most 100"),
        (["--seed", "-2"], "0 or more"),
        (["--out", "day.csv"], "FILE.json"),
        (["--out", "none/day.json"], "folder"),
    ],
)
def test_bad_arguments_get_one_line(peergrid: Command, options: list[str], wanted: str) -> None:
    result = peergrid("households", *options, "--quiet")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert wanted in result.err


def test_comfort_that_no_cooling_can_keep_names_household_device_and_hour() -> None:
    narrow = Sizes(comfort_c=(23.4, 23.6))
    with pytest.raises(DataError, match=r"household w1, HVAC, hour \d+: comfort_c"):
        study_day(Asked(scenarios=1), narrow)


def test_a_case_that_there_is_not_is_refused() -> None:
    with pytest.raises(DataError, match="0, 1, 2"):
        clients(3)

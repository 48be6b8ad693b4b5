"""The published figures of the siting case: how they contradict each other, and what ours are."""

import numpy as np
import pytest

from peergrid.study.siting.published import (
    CLAIMS,
    KINDS,
    PAPER,
    PERIODS,
    PREMISES,
    Tables,
    contradictions,
    slips,
    sun_share,
    verdict,
)

BY_NAME = {claim.what: claim for claim in (*CLAIMS, *PREMISES)}


def by_tables(what: str) -> list[float]:
    values = BY_NAME[what].measure(PAPER)
    assert values is not None
    return list(values)


def test_tables_have_a_value_in_each_period() -> None:
    rows = [*PAPER.traded_kwh.values(), *PAPER.loss_kw.values(), *PAPER.vm_min_pu.values()]
    assert {len(row) for row in (*rows, *PAPER.contributed_kwh.values())} == {len(PERIODS)}
    assert tuple(PAPER.contributed_kwh) == KINDS


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("COA trades more than the base case", [0.907, 0.959, 1.057, 0.975]),
        ("GA trades more than the base case", [0.593, 0.633, 0.615, 0.616]),
        ("COA trades more than GA", [0.197, 0.200, 0.274, 0.222]),
        ("COA changes the losses of the base case", [-0.255, -0.297, -0.262, -0.272]),
        ("COA changes the losses of GA", [-0.090, -0.115, -0.108, -0.105]),
        ("contributions of all resources over what is traded", [0.970, 0.941, 1.028, 0.976]),
        ("traded over what PV and wind give to it", [1.848]),
        ("PV in hours 1-8 over PV in hours 9-16", [34.0 / 61.0]),
        ("PV in hours 1-8 over PV in hours 17-24", [34.0 / 18.0]),
        ("voltage at the head by losses and lowest voltage, base case", [1.024, 1.020, 1.018]),
    ],
)
def test_the_text_against_the_tables(what: str, values: list[float]) -> None:
    assert by_tables(what) == pytest.approx(values, abs=1e-3)
    assert what in [line["what"] for line in contradictions()]


def test_what_is_kept_is_no_contradiction() -> None:
    claim = BY_NAME["COA trades more than GA"]
    assert claim.is_kept([0.18, 0.20, 0.2249])
    assert not claim.is_kept([0.18, 0.226])
    assert len(contradictions()) == len(CLAIMS) + len(PREMISES)


def test_pv_by_the_sun() -> None:
    shares = [sun_share(day_h) for day_h in (10.0, 12.0, 14.0, 16.5)]
    assert shares == sorted(shares)
    at = np.linspace(4.0, 16.0, 100_001)
    sun = np.clip(np.sin(np.pi * (at - 5.0) / 14.0), 0.0, None)
    early, middle = sun[at < 8.0].sum(), sun[at >= 8.0].sum()
    assert sun_share(14.0) == pytest.approx(early / middle, rel=1e-3)


def ours(ga: float, cheetah: float) -> Tables:
    rows = {"base": (0.0,) * 3, "ga": (ga,) * 3, "cheetah": (cheetah,) * 3}
    losses = {"base": (20.0, 20.0, 20.0), "ga": (ga, ga, ga), "cheetah": (ga, 30.0, ga)}
    return Tables(traded_kwh=rows, contributed_kwh={}, loss_kw=losses, vm_min_pu={})


@pytest.mark.parametrize(
    ("cheetah", "judged"),
    [(12.0, "holds"), (15.0, "right sign"), (9.0, "wrong sign"), (10.01, "no change")],
)
def test_claims_are_asked_of_our_plans_too(cheetah: float, judged: str) -> None:
    assert BY_NAME["COA trades more than GA"].judge(ours(10.0, cheetah)) == judged


def test_claims_that_cannot_be_asked() -> None:
    mine = ours(10.0, 12.0)
    assert BY_NAME["COA trades more than the base case"].judge(mine) == "unknown"
    assert BY_NAME["COA changes the losses of the base case"].judge(mine) == "mixed signs"
    nothing = Tables(traded_kwh={}, contributed_kwh={}, loss_kw={}, vm_min_pu={})
    assert {claim.judge(nothing) for claim in BY_NAME.values()} == {"unknown"}


def test_what_our_rows_are_worth() -> None:
    assert verdict("traded_kwh", "base").kind == "not reproduced"
    assert verdict("loss_kw", "base").kind == "by construction"
    assert verdict("vm_min_pu", "base").kind == "calibrated"
    assert verdict("traded_kwh", "cheetah").kind == "finding"


def test_words() -> None:
    assert slips()[0] == "Figure 8 is cited; there is none."
    assert "There are 2 sections 3.1." in slips()

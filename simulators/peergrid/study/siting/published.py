"""The published figures of the siting case, what to make of ours beside them, and what contradicts.

B. Stalin, "Optimized Integeration of Distributed Energy Resources for P2P Energy Trading in
Distribution Networks using the Cos", IJERST 4(1), 2026, doi 10.63458/ijerst.v4i1.148: its Tables
1 to 4 and the claims of its text. Its profiles, prices and sizes are not public.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from peergrid.network.library import load_feeder
from peergrid.network.power_flow import solve

Kind = Literal["by construction", "calibrated", "finding", "not reproduced"]
Judgement = Literal["holds", "right sign", "wrong sign", "mixed signs", "no change", "unknown"]
Means = tuple[float, ...]
Measure = Callable[["Tables"], Means | None]

SCENARIO = "ieee12_siting"
FEEDER = "ieee12"
PERIODS: Mapping[str, tuple[float, float]] = {
    "off-peak": (0.0, 8.0),
    "mid-peak": (8.0, 16.0),
    "peak": (16.0, 24.0),
}
"""Hours 1-8, 9-16, 17-24 of the paper, as hours of the day from and to."""
KINDS = ("pv", "wind", "battery", "ev")
PRIMARY = ("pv", "wind")
ROUNDING = 0.005
"""Of a share that is told in whole percent."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Means per hour in the three periods, by case or method (``base``, ``ga``, ``cheetah``).

    Parameters
    ----------
    traded_kwh
        Table 1: traded between peers in an hour.
    contributed_kwh
        Table 2: of it by each kind of resource, by the cheetah optimizer.
    loss_kw
        Table 3: active losses.
    vm_min_pu
        Table 4: lowest voltage.
    """

    traded_kwh: Mapping[str, Means]
    contributed_kwh: Mapping[str, Means]
    loss_kw: Mapping[str, Means]
    vm_min_pu: Mapping[str, Means]


PAPER = Tables(
    traded_kwh={
        "base": (56.8, 86.2, 62.9),
        "ga": (90.5, 140.7, 101.6),
        "cheetah": (108.3, 168.9, 129.4),
    },
    contributed_kwh={
        "pv": (34.0, 61.0, 18.0),
        "wind": (29.0, 42.0, 36.0),
        "battery": (24.0, 31.0, 45.0),
        "ev": (18.0, 25.0, 34.0),
    },
    loss_kw={
        "base": (23.1, 28.6, 32.4),
        "ga": (18.9, 22.7, 26.8),
        "cheetah": (17.2, 20.1, 23.9),
    },
    vm_min_pu={
        "base": (0.964, 0.953, 0.947),
        "ga": (0.974, 0.966, 0.962),
        "cheetah": (0.979, 0.973, 0.969),
    },
)
FIGURES_SHOWN = (1, 2, 3, 4)
FIGURES_CITED = (1, 2, 3, 4, 8)
SECTIONS = ("3.1", "3.1", "3.2", "3.3")
NAMES_OF_METHOD = {"title": "COS", "text": "COA"}


# -- measures: the same ones of the paper's tables and of ours -------------------------------------


def change(table: str, to: str, of: str) -> Measure:
    """Change of a row of a table from one case to another [1]: in each period, then of the sum."""

    def measure(tables: Tables) -> Means | None:
        rows = getattr(tables, table)
        if not rows.get(of) or not rows.get(to) or min(rows[of]) <= 0.0:
            return None
        after, before = (np.append(rows[name], sum(rows[name])) for name in (to, of))
        return tuple((after / before - 1.0).tolist())

    return measure


def told_twice(tables: Tables) -> Means | None:
    """Sum of the resources over what is traded [1], in each period and of the sum."""
    parts, traded = list(tables.contributed_kwh.values()), tables.traded_kwh.get("cheetah")
    if not parts or not traded or min(traded) <= 0.0:
        return None
    given = np.sum(parts, axis=0)
    return tuple((np.append(given, given.sum()) / np.append(traded, sum(traded))).tolist())


def resold(tables: Tables) -> Means | None:
    """Traded over what PV and wind give to it [1], over the day."""
    primary = sum(sum(tables.contributed_kwh.get(kind, ())) for kind in PRIMARY)
    traded = tables.traded_kwh.get("cheetah")
    return (sum(traded) / primary,) if traded and primary > 0.0 else None


def pv_early(tables: Tables) -> Means | None:
    """PV in hours 1-8 over PV in hours 9-16 [1]."""
    pv = tables.contributed_kwh.get("pv")
    return (pv[0] / pv[1],) if pv and len(pv) == len(PERIODS) and pv[1] > 0.0 else None


def pv_lopsided(tables: Tables) -> Means | None:
    """PV in hours 1-8 over that in 17-24 [1]; about 1 for a sun that is highest at noon."""
    pv = tables.contributed_kwh.get("pv")
    return (pv[0] / pv[2],) if pv and len(pv) == len(PERIODS) and pv[2] > 0.0 else None


def sun_share(day_h: float) -> float:
    """PV in hours 1-8 over that in 9-16 under a half sine of so many hours around noon [1].

    >>> round(sun_share(12.0), 3), round(sun_share(16.5), 3)
    (0.077, 0.225)
    """
    rise = 12.0 - day_h / 2.0
    eight = np.cos(np.pi * (PERIODS["off-peak"][1] - rise) / day_h)
    return float((1.0 - eight) / (2.0 * eight))


def head_needed(tables: Tables) -> Means | None:
    """Voltage at the head that joins the base case's losses and lowest voltages [pu].

    Under one pattern of loads the largest drop grows as the root of the losses; how much so is
    taken from the feeder's nominal state.
    """
    losses, voltages = tables.loss_kw.get("base"), tables.vm_min_pu.get("base")
    if not losses or not voltages:
        return None
    feeder = load_feeder(FEEDER)
    flow = solve(feeder, -feeder.p_load_kw[:, None], -feeder.q_load_kvar[:, None])
    drop = float(flow.vm_pu[0, 0] - flow.vm_pu.min())
    per_root = drop / float(np.sqrt(flow.loss_kw[0]))
    return tuple((np.array(voltages) + per_root * np.sqrt(losses)).tolist())


# -- claims ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper says or takes for granted, and the measure that tells.

    Parameters
    ----------
    what, where
        What is said, and in which part of the paper.
    low, high
        Range that is told.
    measure
        Values in that range if it is true, of the paper's tables or ours.
    unit
        "%" for shares and changes, which are of 1 here; "pu", "" for plain numbers.
    columns
        What the values belong to.
    note
        Why it must be so, or what follows.
    """

    what: str
    where: str
    low: float
    high: float
    measure: Measure
    unit: str = "%"
    columns: tuple[str, ...] = (*PERIODS, "day")
    note: str = ""

    def is_kept(self, values: Sequence[float]) -> bool:
        """Whether all values lie in the range, as exactly as it is told."""
        slack = ROUNDING if self.unit == "%" else 1e-9
        return all(self.low - slack <= value <= self.high + slack for value in values)

    def judge(self, tables: Tables) -> Judgement:
        """What our tables make of it; signs are those of the middle of the range."""
        values = self.measure(tables)
        if values is None:
            return "unknown"
        if self.is_kept(values):
            return "holds"
        if all(abs(value) <= ROUNDING for value in values):
            return "no change"
        middle = 0.5 * (self.low + self.high)
        signs = {value * middle > 0.0 for value in values}
        if len(signs) > 1:
            return "mixed signs"
        return "right sign" if signs == {True} else "wrong sign"

    def line(self) -> dict[str, Any]:
        """The text beside the paper's own tables, in the words of JSON."""
        values = self.measure(PAPER)
        return {
            "what": self.what,
            "where": self.where,
            "told": [self.low, self.high],
            "by_its_tables": None if values is None else list(values),
            "columns": list(self.columns),
            "unit": self.unit,
            "kept": None if values is None else self.is_kept(values),
            "note": self.note,
        }


CLAIMS = (
    Claim(
        what="COA trades more than the base case",
        where="3.1 and 4 against Table 1",
        low=0.80,
        high=0.85,
        measure=change("traded_kwh", "cheetah", "base"),
    ),
    Claim(
        what="GA trades more than the base case",
        where="3.1 against Table 1",
        low=0.50,
        high=0.55,
        measure=change("traded_kwh", "ga", "base"),
    ),
    Claim(
        what="COA trades more than GA",
        where="3.1 and 4 against Table 1",
        low=0.18,
        high=0.22,
        measure=change("traded_kwh", "cheetah", "ga"),
    ),
    Claim(
        what="COA changes the losses of the base case",
        where="3.2 and 4 (nearly 30 %) against Table 3",
        low=-0.30,
        high=-0.30,
        measure=change("loss_kw", "cheetah", "base"),
    ),
    Claim(
        what="COA changes the losses of GA",
        where="3.2 against Table 3",
        low=-0.13,
        high=-0.11,
        measure=change("loss_kw", "cheetah", "ga"),
    ),
)
"""What the text says of the methods; it can be asked of our plans as well."""
PREMISES = (
    Claim(
        what="contributions of all resources over what is traded",
        where="Table 2 against Table 1",
        low=1.0,
        high=1.0,
        measure=told_twice,
        note="parts of a whole: in the peak they are more than the whole",
    ),
    Claim(
        what="traded over what PV and wind give to it",
        where="Tables 1 and 2 against 2.10 (locally traded renewable resources)",
        low=0.0,
        high=1.0,
        unit="",
        columns=("day",),
        measure=resold,
        note="the rest is sold by storages, so bought before: wash trading pays",
    ),
    Claim(
        what="PV in hours 1-8 over PV in hours 9-16",
        where="Table 2",
        low=0.0,
        high=sun_share(16.5),
        columns=("hours 1-8",),
        measure=pv_early,
        note=f"a half sine: {100.0 * sun_share(12.0):.0f} % in a day of 12 h, "
        f"{100.0 * sun_share(16.5):.0f} % in one of 16.5 h, unless noon's sun is not traded",
    ),
    Claim(
        what="PV in hours 1-8 over PV in hours 17-24",
        where="Table 2",
        low=0.0,
        high=1.25,
        unit="",
        columns=("ratio",),
        measure=pv_lopsided,
        note="the sun is highest about noon, not before",
    ),
    Claim(
        what="voltage at the head by losses and lowest voltage, base case",
        where="Table 3 against Table 4",
        low=1.0,
        high=1.0,
        unit="pu",
        columns=tuple(PERIODS),
        measure=head_needed,
        note="one voltage, nominally 1; we take 1.02, between these",
    ),
)
"""What must be so of any such figures."""


def contradictions() -> list[dict[str, Any]]:
    """Where the paper contradicts itself: numbers by its own tables, then words and figures."""
    lines = [claim.line() for claim in (*CLAIMS, *PREMISES)]
    return [line for line in lines if line["kept"] is False]


def slips() -> list[str]:
    """What is wrong with its words and numbering."""
    absent = sorted(set(FIGURES_CITED) - set(FIGURES_SHOWN))
    twice = sorted({one for one in SECTIONS if SECTIONS.count(one) > 1})
    named = ", ".join(f"{name} in the {where}" for where, name in NAMES_OF_METHOD.items())
    return [
        *(f"Figure {number} is cited; there is none." for number in absent),
        *(f"There are {SECTIONS.count(one)} sections {one}." for one in twice),
        f"The method is called {named}; who made it is not said.",
        "The conclusion has trade grow 'without decreasing' losses by nearly 30 %.",
        "What the base case owns and how it trades is not said.",
    ]


# -- ours beside theirs ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What our figure beside a published one is worth, and why."""

    kind: Kind
    note: str


_VERDICTS: Mapping[tuple[str, str], Verdict] = {
    ("traded_kwh", "base"): Verdict(
        kind="not reproduced",
        note="without plants nothing can be traded; with these losses as well, no base case was "
        "found that does",
    ),
    ("loss_kw", "base"): Verdict(
        kind="by construction", note="the load's factors are calibrated on this row"
    ),
    ("vm_min_pu", "base"): Verdict(
        kind="calibrated", note="the head is at 1.02 pu so that this row comes near"
    ),
}
_FINDING = Verdict(kind="finding", note="sizes, prices and profiles are ours: compare signs only")
UNITS = {"traded_kwh": "kWh", "contributed_kwh": "kWh", "loss_kw": "kW", "vm_min_pu": "pu"}


def verdict(table: str, case: str) -> Verdict:
    """What our row of a table is worth.

    >>> verdict("loss_kw", "base").kind, verdict("loss_kw", "ga").kind
    ('by construction', 'finding')
    """
    return _VERDICTS.get((table, case), _FINDING)


ILL_POSED = (
    "The objective is ill-posed: (1) summed over all buses with (8) leaves no term for the main "
    "grid, and a bus that may buy and sell at once can trade with itself up to any cap (wash "
    "trading); with either-or, as here, storages still resell what they buy"
)
CAVEATS = (
    "The paper gives no profile, price or size. What stands in for them is ours, so levels of "
    "energy are not comparable; signs and orders are.",
    "Losses of the base case come out by construction, its voltages by calibration of the head.",
    "The cheetah optimizer is written in two variants that differ: text is the paper that "
    "published it, code its authors' own program.",
)

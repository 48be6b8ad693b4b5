"""The published figures of the households' case, ours beside them, and what to make of either.

S. F. Santos, J. T. R. A. Branco, G. J. Osório, J. P. S. Catalão, "Impact of P2P Market Transactions
on Distribution Network Congestion Considering Physical Constraints". All figures are of its section
III.B; its data are not public.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from peergrid.study.households.clients import SCHOOL
from peergrid.study.households.figures import Figures, plain

Kind = Literal["by construction", "calibrated", "finding", "not reproduced"]
Days = Mapping[int, Figures]
Measure = Callable[[Days], float]
INDUSTRY = ("w2", "w9")
BUYERS, SELLERS, BOTH = ("w1", "w2", "w6", "w7", "w8", "w9"), ("w3", "w5", "w10"), ("w4",)
LEAST_TRADED = 0.01  # of a household's trades: less in one direction is none


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published figure.

    Parameters
    ----------
    what
        Its name, with case, hour and statistic as we measure it.
    where
        In the paper.
    value
        As printed; None where the paper only says it in words.
    unit
        "%", "h", "" for plain numbers.
    kind
        What our figure beside it is worth: put there by construction, calibrated by our sizes on
        seed 0, a finding, or not reproduced.
    measure
        Ours, from the three cases.
    note
        What the paper leaves open, or why it is of that kind.
    """

    what: str
    where: str
    value: float | None
    unit: str
    kind: Kind
    measure: Measure
    note: str = ""

    def line(self, days: Days) -> dict[str, Any]:
        """In the words of JSON."""
        return {
            "what": self.what,
            "where": self.where,
            "published": self.value,
            "ours": plain(self.measure(days)),
            "unit": self.unit,
            "kind": self.kind,
            "note": self.note,
        }


def change_pct(name: str, case: int = 1) -> Measure:
    """Change of a figure of a case against case 0 [%]."""

    def measure(days: Days) -> float:
        return float(100.0 * (getattr(days[case], name) / getattr(days[0], name) - 1.0))

    return measure


def of_case(name: str, case: int) -> Measure:
    """A figure of a case."""
    return lambda days: float(getattr(days[case], name))


def share_pct(source: str, of: str = "mix") -> Measure:
    """Share of a source in case 1 [%]."""
    return lambda days: 100.0 * float(getattr(days[1], of)[source])


def others_change_pct(days: Days) -> float:
    """Largest change of cost from case 1 to 2 of those that do not become industries [%]."""
    before, after = days[1], days[2]
    same = [name.split(".")[0] not in INDUSTRY for name in before.names]
    change = after.client_cost_eur[same] / before.client_cost_eur[same] - 1.0
    return float(100.0 * np.abs(change).max())


def as_printed(days: Days) -> float:
    """Households that only buy, only sell, or do both as in the published Fig. 5."""
    found = 0
    matrix = days[1].trade_matrix_kwh
    traded = zip(days[1].names, matrix.sum(axis=1), matrix.sum(axis=0), strict=True)
    for name, sold, bought in traded:
        least = LEAST_TRADED * (sold + bought)
        does = (bool(sold > least), bool(bought > least))
        client = name.split(".")[0]
        found += does == (client in SELLERS + BOTH, client in BUYERS + BOTH)
    return float(found)


MONEY = (
    Published(
        what="total cost, case 1 against 0",
        where="III.B, Fig. 2",
        value=-16.1,
        unit="%",
        kind="calibrated",
        measure=change_pct("cost_eur"),
        note="retailer and fees; the print counts local trade at grid prices",
    ),
    Published(
        what="cost per kWh, case 1 against 0",
        where="III.B, after Fig. 2",
        value=-22.0,
        unit="%",
        kind="calibrated",
        measure=change_pct("unit_cost_eur_per_kwh"),
        note="per kWh of net import and PV used",
    ),
    Published(
        what="cost per kWh of prosumers against consumers, case 1",
        where="IV: lower",
        value=None,
        unit="%",
        kind="finding",
        measure=lambda days: 100.0 * (days[1].prosumers_against_consumers - 1.0),
    ),
    Published(
        what="largest change of cost of the others, case 2 against 1",
        where="III.B: none",
        value=0.0,
        unit="%",
        kind="finding",
        measure=others_change_pct,
        note="two households become industries",
    ),
)
MIX = (
    Published(
        what="directly from the grid, case 1",
        where="III.B, Fig. 3",
        value=72.5,
        unit="%",
        kind="calibrated",
        measure=share_pct("grid"),
        note="what the other shares leave; sources to uses pro rata in each hour",
    ),
    Published(
        what="from PV, case 1",
        where="III.B, Fig. 3",
        value=17.0,
        unit="%",
        kind="calibrated",
        measure=share_pct("pv"),
    ),
    Published(
        what="from storage, case 1",
        where="III.B, Fig. 3",
        value=8.5,
        unit="%",
        kind="calibrated",
        measure=share_pct("storage"),
    ),
    Published(
        what="from neighbours, case 1",
        where="III.B, Fig. 3",
        value=2.0,
        unit="%",
        kind="calibrated",
        measure=share_pct("p2p"),
        note="by the fee; without one the share is not determined",
    ),
    Published(
        what="storage charged from the grid, case 1",
        where="III.B: all of it",
        value=100.0,
        unit="%",
        kind="finding",
        measure=share_pct("grid", "charged_from"),
    ),
)
TRADES = (
    Published(
        what="sold from storage 15 to 24 h, case 1",
        where="III.B: almost all",
        value=None,
        unit="%",
        kind="finding",
        measure=share_pct("storage", "sold_from_evening"),
    ),
    Published(
        what="hour of most trade from 15 to 24 h, case 1",
        where="III.B, Fig. 4",
        value=18.0,
        unit="h",
        kind="not reproduced",
        measure=of_case("p2p_evening_peak_h", 1),
        note="begin of the hour; ours is that of the tariff's evening peak, at 19 h",
    ),
    Published(
        what="hour of most trade from 8 to 14 h, case 1",
        where="III.B, Fig. 4",
        value=13.0,
        unit="h",
        kind="not reproduced",
        measure=of_case("p2p_noon_peak_h", 1),
        note="with a fee and PV of their own hardly anybody trades at noon",
    ),
    Published(
        what="school's share of sales, case 1",
        where="III.B, Fig. 5",
        value=45.0,
        unit="%",
        kind="not reproduced",
        measure=lambda days: 100.0 * days[1].sold_share(SCHOOL),
        note="follows the sizes of its storage, which are ours, and the scenarios",
    ),
    Published(
        what="households that buy or sell as printed, of 10, case 1",
        where="III.B, Fig. 5",
        value=10.0,
        unit="",
        kind="finding",
        measure=as_printed,
        note="who sells of those with storage is nearly a tie",
    ),
)
NETWORK = (
    Published(
        what="lines overloaded, case 0",
        where="III.B, Fig. 6",
        value=6.0,
        unit="",
        kind="by construction",
        measure=of_case("overloads", 0),
        note="ratings are ours, set for it on the base day",
    ),
    Published(
        what="mean over lines of the highest loading, case 0",
        where="III.B: capacity factor",
        value=1.13,
        unit="",
        kind="by construction",
        measure=of_case("line_factor_peak", 0),
        note="ratings are ours, set for it on the base day",
    ),
    Published(
        what="lines overloaded, case 1",
        where="III.B, Fig. 6",
        value=1.0,
        unit="",
        kind="finding",
        measure=of_case("overloads", 1),
        note="0 to 3 on other seeds, and it moves with the scenarios that are drawn",
    ),
    Published(
        what="lines overloaded, case 2",
        where="III.B, Fig. 6",
        value=2.0,
        unit="",
        kind="finding",
        measure=of_case("overloads", 2),
        note="limits are soft: how many are exceeded follows ratings, price and scenarios",
    ),
    Published(
        what="line factor, highest hour of each line, case 1 against 0",
        where="III.B: no hour named",
        value=-15.37,
        unit="%",
        kind="finding",
        measure=change_pct("line_factor_peak"),
    ),
    Published(
        what="line factor, mean from 18 to 22 h, case 1 against 0",
        where="III.B: no hour named",
        value=-15.37,
        unit="%",
        kind="finding",
        measure=change_pct("line_factor_evening"),
    ),
    Published(
        what="line factor, mean of the day, case 1 against 0",
        where="III.B: no hour named",
        value=-15.37,
        unit="%",
        kind="not reproduced",
        measure=change_pct("line_factor_mean"),
        note="energy moved from one hour to another stays in this mean",
    ),
    Published(
        what="voltage deviation, mean from 18 to 22 h, case 1 against 0",
        where="III.B: no hour named",
        value=-37.19,
        unit="%",
        kind="finding",
        measure=change_pct("deviation_evening_pu"),
    ),
    Published(
        what="voltage deviation, largest of each bus, case 1 against 0",
        where="III.B: no hour named",
        value=-37.19,
        unit="%",
        kind="finding",
        measure=change_pct("deviation_peak_pu"),
    ),
    Published(
        what="voltage deviation, mean of the day, case 1 against 0",
        where="III.B: no hour named",
        value=-37.19,
        unit="%",
        kind="not reproduced",
        measure=change_pct("deviation_mean_pu"),
        note="energy moved from one hour to another stays in this mean",
    ),
    Published(
        what="voltage deviation from 18 to 22 h, case 2 against 0",
        where="III.B, Fig. 7: smaller",
        value=None,
        unit="%",
        kind="finding",
        measure=change_pct("deviation_evening_pu", 2),
    ),
)
SECTIONS: Mapping[str, tuple[Published, ...]] = {
    "money": MONEY,
    "energy mix": MIX,
    "trades": TRADES,
    "network": NETWORK,
}
CAVEATS = (
    "The data behind the published figures are not public. Who owns what is Table I; sizes, tariff "
    "and profiles are ours, chosen so that costs, unit costs and the shares of PV and storage come "
    "near on seed 0 (calibrated): the match there is no reproduction.",
    "Ratings are ours: the currents of case 0 on seed 0, divided so that six of ten lines are "
    "overloaded and their factor is 1.13 (by construction).",
    "The paper names neither hour nor statistic of its line factor and voltage deviation; ours are "
    "given by name.",
    "Limits are soft: with hard ones no line could be overloaded, as six to one are in the paper.",
)

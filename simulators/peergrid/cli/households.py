"""``peergrid households``: the day of ten households on a branch, beside the published one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from peergrid.errors import DataError
from peergrid.study.households import campaign
from peergrid.study.households.clients import CASES
from peergrid.study.households.published import CAVEATS, SECTIONS

Advance = Callable[[int], None]
Row = tuple[str, str, str, float, str]

MOST_SCENARIOS = 100
ROWS: Mapping[str, Sequence[Row]] = {  # key, meaning, unit, factor, published change
    "money": (
        ("cost_eur", "cost of all", "EUR", 1.0, "-16.1 %"),
        ("consumption_kwh", "consumption", "kWh", 1.0, "more"),
        ("unit_cost_eur_per_kwh", "cost per kWh", "ct", 100.0, "-22 %"),
        ("unit_cost_prosumers_eur_per_kwh", "of prosumers", "ct", 100.0, ""),
        ("unit_cost_consumers_eur_per_kwh", "of consumers", "ct", 100.0, ""),
    ),
    "energy mix": (
        ("mix.grid", "directly from the grid", "%", 100.0, "72.5 in case 1"),
        ("mix.pv", "PV", "%", 100.0, "17"),
        ("mix.storage", "storage", "%", 100.0, "8.5"),
        ("mix.p2p", "neighbours", "%", 100.0, "2"),
        ("p2p_share", "neighbours, of all consumption", "%", 100.0, ""),
    ),
    "lines": (
        ("overloads", "overloaded", "", 1.0, "6, 1, 2"),
        ("line_factor_peak", "factor, highest hour of each", "", 1.0, "1.13; -15.37 %"),
        ("line_factor_evening", "factor, 18 to 22 h", "", 1.0, "-15.37 %"),
    ),
    "voltage": (
        ("deviation_evening_pu", "|1 - V|, 18 to 22 h", "1e-3 pu", 1000.0, "-37.19 %"),
        ("deviation_peak_pu", "|1 - V|, largest of each bus", "1e-3 pu", 1000.0, "-37.19 %"),
    ),
    "plan": (
        ("gap", "proven gap", "%", 100.0, ""),
        ("bound_eur", "no plan costs less than", "EUR", 1.0, ""),
        ("linear_gap_pu", "error of linear voltages", "1e-6 pu", 1e6, ""),
    ),
}
COMPARED = ("money", "lines", "voltage")
NOTE = (
    "Expected over the scenarios. Cost: retailer and fees. Mix: of what is used, each hour's "
    "sources to uses pro rata. Line factor: mean over lines; |1 - V|: mean over buses."
)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for.

    Parameters
    ----------
    seed, scenarios
        The day whose cases are shown.
    seeds
        How many other days the signs and bands are tested on; 0: none.
    fees, value
        Whether fees are swept, and the value of planning with scenarios is told.
    """

    seed: int = 0
    scenarios: int = 3
    seeds: int = 0
    fees: bool = False
    value: bool = False

    def __post_init__(self) -> None:
        for field, least in (("seed", 0), ("scenarios", 1), ("seeds", 0)):
            if getattr(self, field) < least:
                raise DataError(
                    "households", f"--{field}", getattr(self, field), f"{least} or more"
                )
        if self.scenarios > MOST_SCENARIOS:
            allowed = f"at most {MOST_SCENARIOS}"
            raise DataError("households", "--scenarios", self.scenarios, allowed)

    @property
    def steps(self) -> int:
        """Steps of progress."""
        fees = len(campaign.FEES_EUR_PER_KWH) if self.fees else 0
        return len(CASES) + self.seeds + fees + self.value


def households(wish: Wish, advance: Advance | None = None) -> dict[str, Any]:
    """Plan what is asked for.

    Returns
    -------
    ``seed``, ``date``, ``scenarios``, ``cases`` (figures by case), ``bands``, ``published``
    (published figures, ours and of what kind they are), ``caveats``; where asked for ``campaign``
    (``counts`` and ``days``), ``fees`` and ``value``.
    """
    seed, scenarios = wish.seed, wish.scenarios
    run = campaign.run_cases(seed, scenarios, advance=_after(advance, 0))
    done = len(run.days)
    found: dict[str, Any] = {
        **run.to_dict(),
        "scenarios": scenarios,
        "published": [
            {"section": section, **one.line(run.days)}
            for section, entries in SECTIONS.items()
            for one in entries
        ],
        "caveats": list(CAVEATS),
    }
    if wish.seeds:
        runs = campaign.run_seeds(
            range(1, wish.seeds + 1), scenarios, advance=_after(advance, done)
        )
        days = [one.to_dict(with_figures=False) for one in runs]
        found["campaign"] = {"counts": campaign.counted(runs), "days": days}
        done += wish.seeds
    if wish.fees:
        points = campaign.sweep_fees(seed, scenarios, advance=_after(advance, done))
        found["fees"] = [asdict(point) for point in points]
        done += len(points)
    if wish.value:
        found["value"] = campaign.value_of(seed, scenarios)
    return found


def writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before any work is done."""
    if path is None:
        return
    if path.suffix != ".json":
        raise DataError("households", "--out", str(path), "FILE.json")
    if not path.absolute().parent.is_dir():
        raise DataError("households", "--out", str(path), "a file in a folder that is there")


def write_json(found: dict[str, Any], path: Path) -> None:
    """All that was found as a JSON file."""
    try:
        path.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError("households", "--out", str(path), f"a place to write ({error})") from error


def tables(found: dict[str, Any]) -> Iterator[Table]:
    """Cases beside each other, published figures beside ours, bands, and what else there is."""
    yield _cases(found)
    yield _published(found)
    yield _bands(found)
    if "campaign" in found:
        yield _campaign(found["campaign"])
    if "fees" in found:
        yield _fees(found["fees"])


def notes(found: dict[str, Any]) -> list[str]:
    """What to know when reading the tables."""
    said = [NOTE, *found["caveats"]]
    if "campaign" in found:
        counts = found["campaign"]["counts"]
        refused = f"; {counts['refused']} could not be planned" if counts["refused"] else ""
        said.append(f"All bands hold on {counts['hold']} of {counts['seeds']} days{refused}.")
    if "value" in found:
        said.append(_value(found["value"]))
    return said


def _cases(found: dict[str, Any]) -> Table:
    cases = [f"case {case}" for case in found["cases"]]
    table = _table("", "", *cases, "", "1 against 0", "published")
    table.title = f"seed {found['seed']}, {found['date']}, {_scenarios(found)}"
    for section, rows in ROWS.items():
        for k, (key, meaning, unit, factor, published) in enumerate(rows):
            values = [_at(one, key) for one in found["cases"].values()]
            cells = [None if value is None else factor * value for value in values]
            change = ""
            if section in COMPARED and published and values[0]:
                change = _percent(values[1] / values[0] - 1.0)
            head = section if k == 0 else ""
            table.add_row(head, meaning, *map(_number, cells), unit, change, published)
    return table


def _scenarios(found: dict[str, Any]) -> str:
    """How many scenarios, and how likely; those of case 1, where everything can differ."""
    if found["scenarios"] == 1:
        return "the forecast comes true"
    likely = ", ".join(f"{100.0 * share:.3g}" for share in found["cases"]["1"]["probability"])
    return f"{found['scenarios']} scenarios of probability {likely} %"


def _published(found: dict[str, Any]) -> Table:
    table = _table("", "", "published", "ours", "", "ours is")
    table.title = "published figures and ours"
    section = ""
    for one in found["published"]:
        head = one["section"] if one["section"] != section else ""
        section = one["section"]
        values = _number(one["published"]), _number(one["ours"]), one["unit"]
        table.add_row(head, one["what"], *values, one["kind"])
    return table


def _bands(found: dict[str, Any]) -> Table:
    table = _table("", "found", "wanted", "")
    table.title = "case 1 against case 0: signs and bands"
    for band in found["bands"]:
        cells = _of_band(band), band["wanted"], "holds" if band["holds"] else "does not hold"
        table.add_row(band["name"], *cells)
    return table


def _campaign(runs: dict[str, Any]) -> Table:
    table = _table("seed", "day", "cost", "per kWh", "neighbours", "")
    table.title = "signs and bands on other days"
    for day in runs["days"]:
        bands = {band["name"]: band for band in day["bands"]}
        cells = [
            _of_band(bands[name]) if bands else "-"
            for name in ("total cost", "cost per kWh", "share of neighbours")
        ]
        broken = ", ".join(band["name"] for band in day["bands"] if not band["holds"])
        said = "all hold" if day["holds"] else broken or day["refused"]
        table.add_row(str(day["seed"]), day["date"], *cells, said)
    return table


def _fees(points: list[dict[str, Any]]) -> Table:
    table = _table("fee, ct/kWh", "neighbours", "least", "most", "cost, EUR", "")
    table.title = "trade between neighbours by fee, case 1"
    for point in points:
        shares = (point[name] for name in ("p2p_share", "least_share", "most_share"))
        cells = [f"{100.0 * share:.2f} %" for share in shares]
        fee = point["fee_eur_per_kwh"]
        said = "" if fee else "not determined: least and most found at the same cost"
        table.add_row(f"{100.0 * fee:g}", *cells, f"{point['cost_eur']:.1f}", said)
    return table


def _value(value: dict[str, Any]) -> str:
    if value["vss_eur"] is None:
        worth = "what is best for the mean scenario cannot be kept in all of them"
    else:
        worth = f"planning with scenarios saves {_money(value, 'vss')}"
    perfect = f"a perfect forecast would save {_money(value, 'evpi')}"
    return f"Case 1: {worth}; {perfect} (each to {100.0 * value['gap']:g} % of the cost)."


def _money(value: dict[str, Any], name: str) -> str:
    return f"{value[f'{name}_eur']:.2f} EUR ({100.0 * value[f'{name}_share']:.2f} %)"


def _of_band(band: dict[str, Any]) -> str:
    if band["value"] is None:
        return "-"
    if band["name"] == "overloaded lines":
        return f"{band['value']:+.0f}"
    return _percent(band["value"])


def _percent(share: float) -> str:
    return f"{100.0 * share:+.1f} %"


def _number(value: float | None) -> str:
    """A number for people: three or four digits, none behind the point of whole ones.

    >>> _number(1224.38), _number(75.2), _number(6.0), _number(0.9166), _number(None)
    ('1 224', '75.2', '6', '0.92', '-')
    """
    if value is None:
        return "-"
    digits = 0 if value == round(value) or abs(value) >= 1000.0 else 1 if abs(value) >= 10.0 else 2
    return f"{value:,.{digits}f}".replace(",", " ")


def _at(figures: dict[str, Any], key: str) -> Any:
    """A figure by its name, or ``name.key`` in one of several parts."""
    name, _, part = key.partition(".")
    return figures[name][part] if part else figures[name]


def _table(first: str, *columns: str) -> Table:
    """A table whose numbers, all columns between texts, stand on the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title_style = "bold"
    table.add_column(first, style="bold" if not first else "")
    for k, column in enumerate(columns):
        text = k == len(columns) - 1 or (k == 0 and not column)
        table.add_column(column, justify="left" if text else "right", no_wrap=k == 0)
    return table


def _after(advance: Advance | None, before: int) -> Advance:
    """Progress of a part that begins after others."""
    return lambda done: advance(before + done) if advance is not None else None

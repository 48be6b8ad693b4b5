"""Tables of ``siting.py`` for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

LABELS = {
    "base": "base",
    "milp": "MILP",
    "cheetah-text": "cheetah, text",
    "cheetah-code": "cheetah, code",
    "ga": "GA",
    "de": "DE",
    "cmaes": "CMA-ES",
}
PAPER_LABELS = {"base": "paper, base", "ga": "paper, GA", "cheetah": "paper, COA"}
OBJECTIVES = {"traded": "most trade", "cost": "least cost"}
MEANS = (  # key, title, digits
    ("traded_kwh", "Table 1: traded between peers, kWh in the mean hour", 1),
    ("loss_kw", "Table 3: active losses, mean, kW", 1),
    ("vm_min_pu", "Table 4: lowest voltage, mean, pu", 3),
)
KIND_LABELS = {"pv": "PV", "wind": "wind", "battery": "battery", "ev": "EV"}
OPERATED = (  # key, meaning, unit, digits, factor
    ("energy_cost_eur", "energy at the feeder head", "EUR", 1, 1.0),
    ("import_kwh", "drawn at the feeder head", "kWh", 1, 1.0),
    ("export_kwh", "fed back at the feeder head", "kWh", 1, 1.0),
    ("loss_kwh", "lost in the grid", "kWh", 1, 1.0),
    ("traded_kwh", "traded between neighbours", "kWh", 1, 1.0),
    ("vm_min_pu", "lowest voltage", "pu", 4, 1.0),
    ("vm_max_pu", "highest voltage", "pu", 4, 1.0),
    ("max_loading", "highest loading", "%", 1, 100.0),
    ("stored_end_kwh", "left in storages at the end", "kWh", 1, 1.0),
    ("ev_departures", "departures of vehicles", "", 0, 1.0),
    ("ev_departures_met", "with the energy promised", "", 0, 1.0),
    ("envelope_breaches", "breaches of envelopes", "", 0, 1.0),
)
Found = Mapping[str, Any]


def tables(found: Found) -> Iterator[Table]:
    """All tables."""
    for objective, one in found["objectives"].items():
        yield method_table(found, objective)
        yield rank_table(one["ranks"], objective)
    yield mean_table(found, *MEANS[0])
    yield contribution_table(found)
    for key, title, digits in MEANS[1:]:
        yield mean_table(found, key, title, digits)
    for objective, one in found["objectives"].items():
        if one["best"] is not None:
            yield built_table(one["best"], objective)
    if any(one.get("replay") for one in found["objectives"].values()):
        yield replay_table(found)
    if found["paper"] is not None:
        yield claim_table(found)
        yield contradiction_table(found["paper"]["contradictions"])


def method_table(found: Found, objective: str) -> Table:
    """Methods over their seeds."""
    one = found["objectives"][objective]
    unit = one["unit"]
    more = "more is better" if objective == "traded" else "less is better"
    table = _table(
        f"{found['case']['name']}, {OBJECTIVES[objective]}: objective in {unit}, {more}",
        "",
        *("median", "best", "worst", "from MILP, %", "from best, %", "alone, median"),
        *("evaluations", "s", ""),
    )
    for line in one["methods"]:
        values = (number(line[key], 1) for key in ("median", "best", "worst"))
        shares = (percent(line[key], 2) for key in ("from_programme", "from_best"))
        effort = number(line["evaluations"], 0) if line["alone"] is not None else "-"
        cells = (number(line["alone"], 1), effort, number(line["seconds"], 1))
        table.add_row(label(line["way"]), *values, *shares, *cells, _remark(line))
    return table


def _remark(line: Found) -> str:
    """Seeds, what is not clean, and what is proven."""
    said = [] if line["runs"] == 1 else [f"{line['runs']} seeds"]
    if line["clean"] < line["runs"]:
        said.append(f"{line['clean']} of {line['runs']} keep all limits")
    if line["gap"] is not None:
        said.append(f"proven gap {percent(line['gap'], 2)} %")
    return ", ".join(said)


def rank_table(ranks: Found, objective: str) -> Table:
    """Tests of the searches."""
    table = _table(
        f"{OBJECTIVES[objective]}, searches alone: tests over the seeds", "", "p", "Holm", ""
    )
    if not ranks["possible"]:
        table.add_row("", "-", "-", ranks["reason"])
        return table
    if ranks["friedman"] is not None:
        order = sorted(ranks["mean_rank"].items(), key=lambda one: one[1])
        said = ", ".join(f"{label(way)} {rank:.1f}" for way, rank in order)
        table.add_row("Friedman", _p(ranks["friedman"]["p"]), "", f"mean ranks: {said}")
    for one in ranks["pairs"]:
        pair = " - ".join(map(label, one["pair"]))
        said = "tie" if one["better"] is None else f"{label(one['better'])} ahead"
        said += ", a difference" if one["different"] else ", not significant"
        said += "" if one["exact"] else " (normal)"
        table.add_row(pair, _p(one["p"]), _p(one["p_holm"]), said)
    if ranks["least_p"] > 0.05:
        least = (
            f"{ranks['seeds']} seeds are too few for any pair: Holm's p is {ranks['least_p']:.2g}"
        )
        table.add_row("", "", "", f"{least} at least")
    return table


def mean_table(found: Found, key: str, title: str, digits: int) -> Table:
    """One of Tables 1, 3 and 4: means in the periods, the paper's rows and ours."""
    paper, periods = found["paper"], found["case"]["periods"]
    table = _table(title if paper else title.partition(": ")[2], "", *periods, "")
    if paper is not None:
        for case, row in paper["tables"][key].items():
            table.add_row(PAPER_LABELS[case], *_cells(row, periods, digits), "")
    remark = ""
    if paper is not None:
        worth = paper["base_verdicts"][key]
        remark = f"{worth['kind'].upper()}: {worth['note']}"
    table.add_row("base", *_cells(found["case"]["base"][key], periods, digits), remark)
    for objective, one in found["objectives"].items():
        for way, row in one["tables"][key].items():
            name = f"{OBJECTIVES[objective]}, {label(way)}"
            table.add_row(name, *_cells(row, periods, digits), "")
    return table


def contribution_table(found: Found) -> Table:
    """Table 2: what each kind of resource contributes to trade."""
    paper, periods = found["paper"], found["case"]["periods"]
    studies = found["objectives"].items()
    kinds = list(dict.fromkeys(k for _, one in studies for _, k in _kinds(one)))
    title = "contributed to what is traded, kWh in the mean hour"
    heads = [f"{KIND_LABELS.get(kind, kind)}, {period}" for kind in kinds for period in periods]
    table = _table(f"Table 2: {title}" if paper else title, "", *heads, "")
    if paper is not None:
        row = paper["tables"]["contributed_kwh"]
        cells = [cell for kind in kinds for cell in _cells(row.get(kind), periods, 0)]
        table.add_row(PAPER_LABELS["cheetah"], *cells, "")
    for objective, one in studies:
        for way, row in one["contributed_kwh"].items():
            cells = [cell for kind in kinds for cell in _cells(row.get(kind), periods, 1)]
            table.add_row(f"{OBJECTIVES[objective]}, {label(way)}", *cells, "")
    return table


def _kinds(one: Found) -> Iterator[tuple[str, str]]:
    """Ways and kinds of an objective."""
    for way, row in one["contributed_kwh"].items():
        yield from ((way, kind) for kind in row)


def built_table(best: Found, objective: str) -> Table:
    """What the best plan builds and changes."""
    table = _table(f"{OBJECTIVES[objective]}: the best plan, {best['plan']}", "", "size", "bus", "")
    for unit in best["built"]:
        size = number(unit["size"], 0 if unit["size"] == round(unit["size"]) else 1)
        table.add_row(unit["technology"], f"{size} {unit['unit']}", str(unit["bus"]), "")
    if not best["built"]:
        table.add_row("nothing", "", "", "")
    rows = (
        ("cost, EUR", "cost_eur", 1),
        ("traded, kWh", "traded_kwh", 1),
        ("lost, kWh", "loss_kwh", 1),
        ("lowest voltage, pu", "vm_min_pu", 4),
        ("highest voltage, pu", "vm_max_pu", 4),
    )
    for name, key, digits in rows:
        without = number(best["base"][key], digits)
        table.add_row(name, number(best["figures"][key], digits), "", f"{without} without a plan")
    ratio = best["trading"]["traded_over_generated"]
    if ratio is not None:
        own = best["trading"]["traded_over_primary"]
        table.add_row("traded over generated", number(ratio, 2), "", "PV and wind")
        table.add_row("traded over what they give to it", number(own, 2), "", "the rest is resold")
    return table


def replay_table(found: Found) -> Table:
    """Chosen plans beside their runs in the loop."""
    runs = {name: one["replay"] for name, one in found["objectives"].items() if one.get("replay")}
    heads = [f"{OBJECTIVES[name]}, {what}" for name in runs for what in ("planned", "operated")]
    table = _table("The chosen plans and their runs in the loop", "", *heads, "")
    for key, meaning, unit, digits, factor in OPERATED:
        cells = [
            number(run[what].get(key), digits, factor)
            for run in runs.values()
            for what in ("planned", "operated")
        ]
        table.add_row(meaning, *cells, unit)
    return table


def claim_table(found: Found) -> Table:
    """What the text says of the methods, the paper's tables and our plans."""
    names = list(found["objectives"])
    heads = ["text", "its tables", *(f"ours, {OBJECTIVES[name]}" for name in names)]
    table = _table("Claims: changes in the periods, and of the day, %", "", *heads, "")
    table.columns[-1].header = "ours: " + ", ".join(OBJECTIVES[name] for name in names)
    for one in found["paper"]["claims"]:
        ours = [_series(one["ours"][name]["values"], "%") for name in names]
        judged = ", ".join(one["ours"][name]["judgement"] for name in names)
        told, by_tables = _told(one), _series(one["by_its_tables"], "%")
        table.add_row(one["what"], told, by_tables, *ours, judged.upper())
    return table


def contradiction_table(lines: Sequence[Found]) -> Table:
    """Where the paper contradicts itself."""
    table = _table("The paper against itself", "", "told or due", "by its tables", "where", "")
    table.columns[3].justify = "left"
    for one in lines:
        values = _series(one["by_its_tables"], one["unit"])
        table.add_row(one["what"], _told(one), values, one["where"], one["note"])
    return table


# -- cells -----------------------------------------------------------------------------------------


def _told(one: Found) -> str:
    """The range that is told."""
    low, high = one["told"]
    if low == high:
        return _series([low], one["unit"])
    return f"{_series([low], one['unit'])} to {_series([high], one['unit'])}"


def _series(values: Sequence[float] | None, unit: str) -> str:
    """Values one after the other."""
    if values is None:
        return "-"
    if unit == "%":
        return ", ".join(f"{100.0 * value:.0f}" for value in values) + " %"
    return ", ".join(f"{value:.3f}" if unit == "pu" else f"{value:.2f}" for value in values)


def _cells(row: Sequence[float] | None, periods: Sequence[str], digits: int) -> list[str]:
    """A row's values, dashes where there are none."""
    return ["-"] * len(periods) if not row else [number(value, digits) for value in row]


def label(way: str) -> str:
    """A method as people read it."""
    return LABELS.get(way, way)


def number(value: float | None, digits: int, factor: float = 1.0) -> str:
    """A number with thin groups of thousands.

    >>> number(1234.56, 1), number(-0.001, 1), number(None, 0)
    ('1 234.6', '0.0', '-')
    """
    if value is None:
        return "-"
    return f"{round(factor * value, digits) + 0.0:,.{digits}f}".replace(",", " ")


def percent(share: float | None, digits: int) -> str:
    """A share in percent."""
    return number(share, digits, 100.0)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _table(title: str, first: str, *columns: str) -> Table:
    """A table of numbers between a text on the left and a remark on the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", title=title)
    table.title_style = "bold"
    table.add_column(first, no_wrap=True)
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == len(columns) - 1 else "right")
    return table

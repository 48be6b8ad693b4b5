"""Write the series of ``scenarios/ieee69_dfe`` and ``scenarios/ieee33_doe``.

``python tools/build_communities.py [FOLDER]`` makes them from ``ieee69_dfe/communities.toml``; the
READMEs beside them say what each column is. The files come out the same to the bit at every call.
"""

import argparse
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from peergrid.network.library import resolve_network
from peergrid.network.plant_net import nominal_power

SCENARIOS = Path(__file__).parent.parent / "scenarios"
SOURCE = SCENARIOS / "ieee69_dfe" / "communities.toml"
DAY = datetime(2024, 6, 20)  # any date: the series stand for no real day
DAYS = (-1, 0, 1, 2)  # the hour before the run and the horizon of its last hour are covered
KW_PER_MW = 1000.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """One feeder with its communities: powers by bus [MW], profiles per hour [share of them].

    ``feeder_profile`` is on the nominal loads of the feeder, ``profile`` on the communities'.
    """

    network: str
    feeder_profile: Sequence[float]
    profile: Mapping[str, Sequence[float]]
    power: Mapping[str, Mapping[int, float]]
    buy: Sequence[float]


def cases(data: Mapping[str, Any]) -> dict[str, Case]:
    """The two feeders of the data set by the folder of their series."""
    table, other, found = data["network"], data["ieee33"], data["community"]
    moved = [
        {**community, "bus": bus, "load": load}
        for community, bus, load in zip(found, other["buses"], other["load"], strict=True)
    ]
    return {
        "ieee69_dfe": _case(data, table["case"], table["load_profile_scale"], found),
        "ieee33_doe": _case(
            data, other["case"], other["load_profile_scale"], moved, other["scale"]
        ),
    }


def _case(
    data: Mapping[str, Any],
    network: str,
    profile_scale: float,
    communities: Sequence[Mapping[str, Any]],
    scale: float = 1.0,
) -> Case:
    common = data["common"]
    return Case(
        network=network,
        feeder_profile=[round(profile_scale * h, 4) for h in data["network"]["load_profile"]],
        profile={kind: common[f"{kind}_profile"] for kind in ("load", "pv", "wind")},
        power={
            kind: {c["bus"]: scale * c[kind] for c in communities if c[kind] > 0.0}
            for kind in ("load", "pv", "wind")
        },
        buy=data["prices"]["buy"],
    )


def stamps() -> Iterator[tuple[int, str]]:
    """Hour of the day and stamp of every row."""
    for day in DAYS:
        for hour in range(24):
            yield hour, f"{DAY + timedelta(days=day, hours=hour):%Y-%m-%dT%H:%M}"


def by_bus(power_mw: Mapping[int, float], profile: Sequence[float]) -> str:
    """Powers of the buses under one profile as CSV, with milliwatts as the last digit."""
    lines = [",".join(["time", *(f"bus_{bus} [kW]" for bus in power_mw)])]
    for hour, stamp in stamps():
        powers = (KW_PER_MW * power * profile[hour] for power in power_mw.values())
        lines.append(",".join([stamp, *(f"{power:.6f}" for power in powers)]))
    return "\n".join(lines) + "\n"


def prices(buy: Sequence[float]) -> str:
    """The price of energy bought as CSV."""
    rows = [f"{stamp},{buy[hour]:.2f}" for hour, stamp in stamps()]
    return "\n".join(["time,price [EUR/MWh]", *rows]) + "\n"


def nominal_mw(network: str) -> dict[int, float]:
    """Nominal load of every bus of a feeder that has one."""
    net = resolve_network(network)
    loads = zip(net.bus.index, nominal_power(net).p_load_mw, strict=True)
    return {int(bus): float(load) for bus, load in loads if load > 0.0}


def texts(case: Case) -> dict[str, str]:
    """Contents of the files of one feeder by their names."""
    return {
        "load.csv": by_bus(nominal_mw(case.network), case.feeder_profile),
        "fixed_load.csv": by_bus(case.power["load"], case.profile["load"]),
        "pv.csv": by_bus(case.power["pv"], case.profile["pv"]),
        "wind.csv": by_bus(case.power["wind"], case.profile["wind"]),
        "prices.csv": prices(case.buy),
    }


def build(folder: Path) -> list[Path]:
    """Write all files into the two folders; returns their paths."""
    data = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    written = []
    for name, case in cases(data).items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file, text in texts(case).items():
            path = folder / name / file
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def main() -> None:
    """Write the files and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SCENARIOS)
    for path in build(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()

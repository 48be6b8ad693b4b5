"""Write the series of ``scenarios/ieee33_ev_market``: ``python tools/build_ev_market.py [FOLDER]``.

The hourly totals of consumption and PV are those of Table 1 in D. Antunes, T. Soares, H. Morais,
"P2P Markets to Support Trading in Smart Grids with Electric Vehicles". Everything else is assumed,
and the README in the folder says how. The files come out the same to the bit at every call.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peergrid.network.library import resolve_network
from peergrid.network.plant_net import nominal_power

FOLDER = Path(__file__).parent.parent / "scenarios" / "ieee33_ev_market"
DAY = datetime(
    2024, 9, 19
)  # the paper's day; the files repeat it, so that every horizon is covered
DAYS = (-1, 0, 1, 2)
KWP = {
    2: 400,
    6: 250,
    9: 200,
    14: 250,
    17: 150,
    18: 200,
    19: 350,
    20: 300,
    23: 400,
    26: 250,
    32: 250,
}
"""Bus of each PV plant (the paper's) and its peak power [kWp] (assumed)."""

CONSUMPTION_MW = (
    0.821, 0.525, 0.401, 0.294, 0.342, 0.300, 0.406, 0.466, 0.739, 1.068, 1.673, 1.904,
    1.725, 1.995, 2.064, 2.195, 2.223, 2.565, 2.633, 2.787, 2.641, 2.136, 1.957, 1.543,
)  # fmt: skip
"""Table 1, total consumption in periods 1 to 24."""
PV_MW = (
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.017, 0.093, 0.228, 0.292, 0.695, 0.957,
    1.262, 2.030, 1.818, 1.262, 1.047, 0.963, 0.600, 0.217, 0.043, 0.0, 0.0, 0.0,
)  # fmt: skip
"""Table 1, total PV generation."""
PRICE_EUR_PER_MWH = (
    82.0, 83.0, 83.0, 83.0, 83.0, 83.0, 85.0, 89.0, 94.0, 91.0, 88.0, 87.0,
    86.0, 84.0, 84.0, 85.0, 88.0, 94.0, 93.0, 107.5, 107.5, 92.0, 68.0, 70.0,
)  # fmt: skip
"""Import price, synthetic and calibrated: a stable day, an evening peak, then two cheap hours."""

SEED = 19
FIRST_KWH, SECOND_KWH = 9.0, 11.0  # mean energy of the first and the second trip (calibrated)
SPREAD = 0.25  # each trip lies within this share of the mean
KWH_PER_KM = 0.18


def consumers() -> tuple[list[int], NDArray[np.float64]]:
    """Buses with a nominal load and no PV, and the share of each in their nominal load."""
    net = resolve_network("ieee33")
    nominal = dict(zip(net.bus.index, nominal_power(net).p_load_mw, strict=True))
    buses = sorted(int(bus) for bus, load in nominal.items() if load > 0.0 and bus not in KWP)
    loads = np.array([nominal[bus] for bus in buses])
    return buses, loads / loads.sum()


def stamps() -> Iterator[tuple[int, str]]:
    """Hour of the day and local stamp of every row."""
    for day in DAYS:
        for hour in range(24):
            yield hour, f"{DAY + timedelta(days=day, hours=hour):%Y-%m-%dT%H:%M}"


def by_bus(total_mw: Sequence[float], buses: Sequence[int], shares: NDArray[np.float64]) -> str:
    """A total shared among buses, as CSV with watts as the last digit."""
    lines = [",".join(["time", *(f"bus_{bus} [kW]" for bus in buses)])]
    for hour, stamp in stamps():
        powers = 1000.0 * total_mw[hour] * shares
        lines.append(",".join([stamp, *(f"{power:.3f}" for power in powers)]))
    return "\n".join(lines) + "\n"


def prices() -> str:
    """The import price as CSV."""
    rows = [f"{stamp},{PRICE_EUR_PER_MWH[hour]:.2f}" for hour, stamp in stamps()]
    return "\n".join(["time,price [EUR/MWh]", *rows]) + "\n"


def tours(vehicles: int) -> str:
    """Two trips a day for every vehicle, as CSV; the last one before the run ends at midnight.

    The first trip leaves between 8:00 and 8:45 and is back between 9:15 and 10:00, the second
    one eight hours later.
    """
    lines = ["ev,date,depart_h,return_h,km,energy_kwh"]
    for ev, child in enumerate(np.random.SeedSequence(SEED).spawn(vehicles)):
        draws = np.random.default_rng(child).random((len(DAYS), 2, 3))
        for day, of_day in zip(DAYS, draws, strict=True):
            date = f"{DAY + timedelta(days=day):%Y-%m-%d}"
            for k, (out, back, need) in enumerate(of_day):
                mean = (FIRST_KWH, SECOND_KWH)[k]
                kwh = round(mean * (1.0 + SPREAD * (2.0 * need - 1.0)), 1)
                leaves, returns = 8.0 + 8.0 * k + 0.75 * out, 9.25 + 8.0 * k + 0.75 * back
                if day < 0 and k == 1:
                    returns = 24.0
                times = f"{leaves:.2f},{returns:.2f}"
                lines.append(f"{ev},{date},{times},{kwh / KWH_PER_KM:.1f},{kwh:.1f}")
    return "\n".join(lines) + "\n"


def build(folder: Path) -> list[Path]:
    """Write all files; returns their paths."""
    buses, shares = consumers()
    kwp = np.array(list(KWP.values()), dtype=np.float64)
    texts = {
        "load.csv": by_bus(CONSUMPTION_MW, buses, shares),
        "pv.csv": by_bus(PV_MW, list(KWP), kwp / kwp.sum()),
        "prices.csv": prices(),
        "tours.csv": tours(len(buses)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def main() -> None:
    """Write the files and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    for path in build(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()

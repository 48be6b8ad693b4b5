"""Write the series of ``scenarios/ieee12_siting``: ``python tools/build_siting.py [FOLDER]``.

Loads are the nominal ones of the 12-bus feeder times one factor for each third of the day. With a
slack of 1.02 pu the factors reproduce the mean losses of Table 3, base case, in B. Stalin,
"Optimized Integeration of Distributed Energy Resources for P2P Energy Trading in Distribution
Networks using the Cos", IJERST 4(1), 2026. Prices are assumed. The files come out the same to the
bit at every call.
"""

import argparse
from datetime import datetime, timedelta
from pathlib import Path

from peergrid.network.library import load_feeder

FOLDER = Path(__file__).parent.parent / "scenarios" / "ieee12_siting"
DAY = datetime(2016, 6, 26)  # the files repeat it, so that every horizon is covered
DAYS = (-1, 0, 1, 2)
FACTORS = (1.075, 1.190, 1.262)
"""Load over nominal load in hours 1 to 8, 9 to 16, 17 to 24 (calibrated on the losses)."""
PRICES_EUR_PER_MWH = (140.0, 190.0, 250.0)
"""Import price in the same hours (assumed)."""


def rows(values: list[str], header: str) -> str:
    """CSV text that repeats the line of each third of the day."""
    lines = [header]
    for day in DAYS:
        for hour in range(24):
            stamp = f"{DAY + timedelta(days=day, hours=hour):%Y-%m-%dT%H:%M}"
            lines.append(f"{stamp},{values[hour // 8]}")
    return "\n".join(lines) + "\n"


def loads() -> str:
    """Loads by bus as CSV."""
    feeder = load_feeder("ieee12")
    loaded = [k for k in range(feeder.n_bus) if feeder.p_load_kw[k] > 0.0]
    header = ",".join(["time", *(f"bus_{feeder.bus_id[k]} [kW]" for k in loaded)])
    values = [",".join(f"{factor * feeder.p_load_kw[k]:.4f}" for k in loaded) for factor in FACTORS]
    return rows(values, header)


def prices() -> str:
    """Import prices as CSV."""
    return rows([f"{price:.2f}" for price in PRICES_EUR_PER_MWH], "time,price [EUR/MWh]")


def build(folder: Path) -> list[Path]:
    """Write all files; returns their paths."""
    texts = {"load.csv": loads(), "prices.csv": prices()}
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

"""Write the data files of ``peergrid.inputs`` from the packages that ship the originals.

Run once, in an environment with simbench 1.6, ev2gym 2.0, emobpy 0.6, turbine-models 0.2, pandas
and PyYAML (install ev2gym with ``--no-deps``); the first four are not imported, their files read::

    python tools/build_data.py

The files are the same to the byte on every run (gzip headers carry no time).
"""

import gzip
import importlib.util
import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

DATA = Path(__file__).resolve().parents[1] / "simulators" / "peergrid" / "inputs" / "data"

HOMES = ["H0-A", "H0-B", "H0-C", "H0-G", "H0-L"]
BUSINESSES = [
    *["G0-A", "G0-M", "G1-A", "G1-B", "G1-C", "G2-A", "G3-A", "G3-H", "G3-M"],
    *["G4-A", "G4-B", "G4-H", "G4-M", "G5-A", "G6-A"],
]
FARMS = ["L0-A", "L1-A", "L2-A", "L2-M"]
HEAT_PUMPS = [
    f"{source}_{number}"
    for source in ("Air_Alternative", "Air_Parallel", "Air_Semi-Parallel", "Soil_Alternative")
    for number in (1, 2)
]
CHARGERS = [f"HLS_{name}" for name in ("A_3.7", "B_3.7", "C_3.7", "A_11.0", "B_11.0", "A_22.0")]

TURBINES = {
    "Skystream3.7": "Skystream3.7_2.1kW_3.7",
    "BergeyExcel10": "BergeyExcel10_8.9kW_7",
    "BergeyExcel15": "BergeyExcel15_15.6kW_9.6",
    "Bestwind30": "Bestwind30_27.2kW_13.1",
    "EntegrityEW50": "EntegrityEW50_50kW_15",
    "NPS60C-24": "NPS60C-24_60kW_24.4",
    "NPS100C-21": "NPS100C-21_100kW_20.7",
    "NPS100C-24": "NPS100C-24_95kW_24.4",
    "VestasV27": "VestasV27_225kW_27",
    "EWT_DW54": "EWT_DW54_900kW_54",
}


def package_dir(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"package {name} is not installed here")
    return Path(next(iter(spec.submodule_search_locations)))


def write(path: Path, table: pd.DataFrame, **kwargs: object) -> None:
    """Write a table as CSV, gzipped when the name says so, and report its size."""
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, lineterminator="\n", **kwargs)
    raw = buffer.getvalue().encode()
    if path.suffix == ".gz":
        raw = gzip.compress(raw, compresslevel=9, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    print(f"{path.relative_to(DATA)}: {table.shape[0]} x {table.shape[1]}, {len(raw)} bytes")


def simbench_profiles() -> None:
    """Hourly means of the profiles, in 1/1000 of their nominal P or Q (households 1/10000)."""
    folder = package_dir("simbench") / "networks" / "1-complete_data-mixed-all-0-sw"
    columns = [f"{name}_{q}load" for name in HOMES + BUSINESSES + FARMS for q in "pq"]
    columns += [f"{name}_pload" for name in HEAT_PUMPS + CHARGERS]
    quarter = pd.read_csv(folder / "LoadProfile.csv", sep=";", usecols=columns)[columns]
    if len(quarter) != 4 * 8784:
        raise SystemExit("the SimBench profiles are not 8784 hours of quarter-hours")
    hourly = quarter.to_numpy(dtype=float).reshape(8784, 4, -1).mean(axis=1)
    parts = np.array([10_000 if name[:4] in HOMES else 1000 for name in columns])
    whole = np.rint(hourly * parts).astype(int)
    headers = [f"{name} [1/{n}]" for name, n in zip(columns, parts, strict=True)]
    write(DATA / "simbench" / "profiles_2016.csv.gz", pd.DataFrame(whole, columns=headers))


def day_ahead_prices() -> None:
    """Rows of 2015 to 2022 (ISO stamps); later ones repeat in another date format."""
    path = package_dir("ev2gym") / "data" / "Netherlands_day-ahead-2015-2024.csv"
    raw = pd.read_csv(path, dtype={"Datetime (UTC)": str})
    stamp = raw["Datetime (UTC)"]
    raw = raw[stamp.str.match(r"20(15|16|17|18|19|20|21|22)-\d\d-\d\d ", na=False)]
    utc = pd.to_datetime(raw["Datetime (UTC)"], utc=True)
    whole = pd.date_range("2015-01-01", "2022-12-31 23:00", freq="h", tz="UTC")
    if not pd.DatetimeIndex(utc).equals(whole):
        raise SystemExit("the day-ahead prices have gaps or repeated hours")
    price = raw["Price (EUR/MWhe)"].to_numpy(dtype=float)
    if np.isnan(price).any():
        raise SystemExit("the day-ahead prices hold NaN")
    table = pd.DataFrame(
        {"time": whole.strftime("%Y-%m-%dT%H:%MZ"), "price [EUR/MWh]": np.round(price, 2)}
    )
    write(DATA / "nl_day_ahead" / "prices_2015_2022.csv.gz", table)


def trip_statistics() -> None:
    """The four tables of German mobility statistics (MiD), unchanged but for their names."""
    folder = package_dir("emobpy") / "data" / "eg2" / "config_files"
    names = {
        "DepartureDestinationTrip_Worker.csv": "departures_worker.csv",
        "DepartureDestinationTrip_Free.csv": "departures_free.csv",
        "TripsPerDay.csv": "trips_per_day.csv",
        "DistanceDurationTrip.csv": "distance_duration.csv",
    }
    for source, target in names.items():
        write(DATA / "mid_trips" / target, pd.read_csv(folder / source))


def hub_height(value: object) -> float:
    """Tallest tower of at most 40 m that the maker offers (else the lowest)."""
    heights = [float(h) for h in (value if isinstance(value, list) else [value])]
    fitting = [h for h in heights if h <= 40.0]
    return max(fitting) if fitting else min(heights)


def turbine_curves() -> None:
    """Power curves of small turbines, one file each, and a table of their sizes."""
    root = package_dir("turbine_models")
    rows = []
    for name, stem in TURBINES.items():
        spec = yaml.safe_load((root / "specs" / "Distributed" / f"{stem}.yaml").read_text())
        curve = pd.read_csv(root / "data" / "Distributed" / f"{stem}.csv")
        curve = curve[["Wind Speed [m/s]", "Power [kW]"]].dropna()
        curve.columns = pd.Index(["wind_speed [m/s]", "power [kW]"])
        write(DATA / "turbines" / f"{name}.csv", curve)
        rows.append(
            {
                "name": name,
                "rated [kW]": float(spec["rated_power"]),
                "rotor [m]": float(spec["rotor_diameter"]),
                "hub_height [m]": hub_height(spec["hub_height"]),
                "original": f"Distributed/{stem}.csv",
            }
        )
    write(DATA / "turbines" / "turbines.csv", pd.DataFrame(rows))


def main() -> None:
    """Write all the files, and name the versions that they came from."""
    for package in ("simbench", "ev2gym", "emobpy", "turbine-models"):
        print(f"{package} {version(package)}")
    simbench_profiles()
    day_ahead_prices()
    trip_statistics()
    turbine_curves()


if __name__ == "__main__":
    main()

"""Draw a run: who supplies the community, the voltages, prices and envelopes.

``python analysis/day.py runs/ieee33_day.h5 --out day.png``
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from peergrid.results import open_run

Series = NDArray[np.float64]
SOURCES = {  # attribute, label, colour; power into the community's grid is positive
    "PV.P[MW]": ("PV", "#f2b134"),
    "WindTurbine.P[MW]": ("wind", "#4f9da6"),
    "Generator.P[MW]": ("generator", "#8c6d62"),
    "Battery.P[MW]": ("batteries", "#5b8c5a"),
    "EV.P[MW]": ("vehicles", "#7b5ea7"),
    "ExternalGrid.P[MW]": ("feeder head", "#b0b0b0"),
}


def total_kw(run: xr.Dataset, name: str) -> Series:
    """Sum of an attribute over all entities, (time) [kW]; zero if nobody has it."""
    if name not in run:
        return np.zeros(run.sizes["time"])
    return 1000.0 * np.nansum(run[name].values, axis=1)


def hours_of(run: xr.Dataset) -> Series:
    """Hours since the start of the run at the start of each row, (time)."""
    return np.arange(run.sizes["time"]) * float(run.attrs.get("step_s", 3600.0)) / 3600.0


def steps(axes: Axes, hours: Series, values: Series, **style: object) -> None:
    """Means over steps as a staircase that ends with the last step."""
    width = hours[1] - hours[0] if len(hours) > 1 else 1.0
    edges = np.append(hours, hours[-1] + width)
    axes.stairs(values, edges, baseline=None, **style)  # type: ignore[arg-type]


def draw_power(axes: Axes, run: xr.Dataset) -> None:
    """Stacked sources and sinks around zero, and the load that they serve [kW]."""
    hours = hours_of(run)
    width = hours[1] - hours[0] if len(hours) > 1 else 1.0
    above, below = np.zeros(len(hours)), np.zeros(len(hours))
    for name, (label, colour) in SOURCES.items():
        power = total_kw(run, name)
        up, down = np.maximum(power, 0.0), np.minimum(power, 0.0)
        bar = {"width": width, "align": "edge", "color": colour}
        axes.bar(hours, up, bottom=above, label=label, **bar)
        axes.bar(hours, down, bottom=below, **bar)
        above, below = above + up, below + down
    load = total_kw(run, "Load.P[MW]") + total_kw(run, "Grid.P_loss[MW]")
    steps(axes, hours, load, color="black", linewidth=1.5, label="load and losses")
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_ylabel("power [kW]\nsupply up, use down")
    axes.legend(ncols=4, fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def draw_voltage(axes: Axes, run: xr.Dataset) -> None:
    """Lowest and highest voltage over all buses, and the band they must keep [pu]."""
    hours, voltage = hours_of(run), run["Bus.Vm[pu]"].values
    low, high = np.nanmin(voltage, axis=1), np.nanmax(voltage, axis=1)
    width = hours[1] - hours[0] if len(hours) > 1 else 1.0
    axes.bar(hours, high - low, bottom=low, width=width, align="edge", color="#9dbcd4")
    axes.plot([], [], color="#9dbcd4", linewidth=6, label="all buses")
    for key in ("v_min_pu", "v_max_pu"):
        if key in run.attrs:
            label = "limits" if key == "v_min_pu" else None
            axes.axhline(float(run.attrs[key]), color="#b3261e", linestyle="--", label=label)
    axes.set_ylabel("voltage [pu]")
    axes.legend(ncols=2, fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def envelope_share(run: xr.Dataset) -> Series:
    """Share of the envelope that each cleared position takes, (time, participant) [%]."""
    power = run["Participant.P[MW]"].values
    limit = np.where(
        power >= 0, run["Participant.P_max[MW]"].values, run["Participant.P_min[MW]"].values
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100.0 * power / limit
    return np.where(np.abs(power) < 1e-9, 0.0, share)


def draw_prices(axes: Axes, run: xr.Dataset) -> None:
    """Prices [EUR/MWh], and how much of their envelopes the participants use [%]."""
    hours = hours_of(run)
    for name, label, colour in (
        ("Market.theta[EUR/MWh]", "marginal price", "#b3261e"),
        ("Market.p2p_price[EUR/MWh]", "price between neighbours", "#1f4e79"),
    ):
        if name in run:
            steps(axes, hours, run[name].values[:, 0], color=colour, linewidth=1.5, label=label)
    axes.set_ylabel("price [EUR/MWh]")
    axes.set_ylim(bottom=0.0)
    handles, labels = axes.get_legend_handles_labels()
    if "Participant.P_max[MW]" in run:
        share = envelope_share(run)
        right = axes.twinx()
        right.plot(
            hours + 0.5 * (hours[1] - hours[0] if len(hours) > 1 else 1.0),
            np.nanmax(share, axis=1),
            "o",
            color="#777777",
            markersize=3,
            label="largest use of an envelope",
        )
        right.set_ylabel("share of the envelope [%]")
        right.set_ylim(0.0, 105.0)
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    axes.legend(
        handles, labels, ncols=3, fontsize="small", frameon=False, loc="lower left",
        bbox_to_anchor=(0, 1),
    )  # fmt: skip


def draw(run: xr.Dataset) -> Figure:
    """The three panels of a run."""
    figure = Figure(figsize=(8.0, 8.5), layout="constrained")
    power, voltage, prices = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
    draw_power(power, run)
    draw_voltage(voltage, run)
    draw_prices(prices, run)
    start = str(run.attrs.get("start", ""))
    zone = str(run.attrs.get("timezone", "UTC"))
    prices.margins(x=0.0)
    prices.set_xlabel(f"hours since the start, {local(start, zone)}" if start else "hours [h]")
    return figure


def local(start: str, zone: str) -> str:
    """An instant on the clock of a zone.

    >>> local("2016-06-29T22:00:00+00:00", "Europe/Berlin")
    '2016-06-30 00:00 Europe/Berlin'
    """
    instant = np.datetime64(start.split("+")[0])
    there = xr.DataArray([instant]).to_index().tz_localize("UTC").tz_convert(zone)
    return f"{there[0]:%Y-%m-%d %H:%M} {zone}"


def main() -> None:
    """Read a results file, write a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.h5")
    parser.add_argument("--out", type=Path, default=Path("day.png"), help="the picture (png, pdf)")
    given = parser.parse_args()
    mpl.rcParams["axes.grid"] = False
    draw(open_run(given.file)).savefig(given.out, dpi=110)


if __name__ == "__main__":
    main()

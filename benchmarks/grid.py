"""Time of one AC power flow of the plant, against pandapower's own ways, in one process.

``python -m benchmarks.grid [--network pandapower:case33bw] [--hours 200]`` prints one JSON line,
medians in ms: ``ours`` (solver alone), ``step`` (mosaik step and all outputs), ``runpp`` (load
written to the tables, default start), ``runpp_flat`` (flat start), ``recycle`` (pandapower's
recycling, brought back to the flat start before each call; null where that does not converge).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp

from peergrid.cosim.grid import GridSimulator
from peergrid.network.ac import PandapowerGrid
from peergrid.network.library import resolve_network
from peergrid.network.plant_net import BusPower, plant_net

RECYCLE = {"bus_pq": True, "trafo": False, "gen": False}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="pandapower:case33bw")
    parser.add_argument("--hours", type=int, default=200)
    args = parser.parse_args()
    net = resolve_network(args.network)
    grid, tables = PandapowerGrid(net), plant_net(net)
    hours = [scaled(grid.nominal, f) for f in np.linspace(0.2, 1.2, args.hours)]
    report = {
        "benchmark": "grid",
        "network": args.network,
        "n_bus": len(net.bus),
        "pandapower": pp.__version__,
        "unit": "ms",
        "ours": median_ms(lambda power: grid.solve(**vars(power)), hours),
        "step": step_ms(net, hours),
        "runpp": median_ms(lambda power: run(tables, power), hours),
        "runpp_flat": median_or_none(lambda power: run(tables, power, init="flat"), hours),
        "recycle": median_or_none(lambda power: recycled(tables, power), hours),
    }
    print(json.dumps(report))


def scaled(power: BusPower, factor: float) -> BusPower:
    """Load and generation times a factor."""
    return BusPower(**{name: value * factor for name, value in vars(power).items()})


def median_ms(solve: Callable[[BusPower], Any], hours: list[BusPower]) -> float:
    """Median time of a call [ms]; the first two warm up."""
    for power in hours[:2]:
        solve(power)
    seconds = []
    for power in hours:
        start = time.perf_counter()
        solve(power)
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds) * 1e3, 3)


def median_or_none(solve: Callable[[BusPower], Any], hours: list[BusPower]) -> float | None:
    """The same, or None where the start does not lead to a solution."""
    try:
        return median_ms(solve, hours)
    except pp.LoadflowNotConverged:
        return None


def run(net: Any, power: BusPower, **options: Any) -> None:
    """``runpp`` with this load and generation."""
    write(net, power)
    pp.runpp(net, **options)


def recycled(net: Any, power: BusPower) -> None:
    """``runpp`` with recycling, without memory of the last voltages."""
    write(net, power)
    if net["_ppc"] is not None and "internal" in net["_ppc"]:
        for bus in (net["_ppc"]["bus"], net["_ppc"]["internal"].get("bus")):
            if bus is not None:
                bus[:, 7], bus[:, 8] = 1.0, 0.0
        net["converged"] = False
    pp.runpp(net, init="flat", recycle=RECYCLE)


def write(net: Any, power: BusPower) -> None:
    """Write load and generation into the tables."""
    net.load["p_mw"], net.load["q_mvar"] = power.p_load_mw, power.q_load_mvar
    net.sgen["p_mw"], net.sgen["q_mvar"] = power.p_gen_mw, power.q_gen_mvar


def step_ms(net: Any, hours: list[BusPower]) -> float:
    """Median time of one step of the simulator, inputs decoded and outputs of all entities [ms]."""
    simulator = GridSimulator()
    simulator.init("Grid", time_resolution=1.0)
    simulator.create(1, "Grid", net=net)
    names = ("P_load[MW]", "Q_load[MVar]", "P_gen[MW]", "Q_gen[MVar]")

    def step(power: BusPower) -> None:
        columns = [column.tolist() for column in vars(power).values()]
        inputs = {
            f"Bus-{bus}": {name: {"Load": c[row]} for name, c in zip(names, columns, strict=True)}
            for row, bus in enumerate(net.bus.index)
        }
        simulator.step(0, inputs, 3600)
        simulator.get_data({eid: list(values) for eid, values in simulator._outputs.items()})

    return median_ms(step, hours)


if __name__ == "__main__":
    main()

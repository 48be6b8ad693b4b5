"""The base case of a feeder: its nominal loads, losses and lowest voltage."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from peergrid.errors import DataError, SolverError
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import resolve_network
from peergrid.network.power_flow import base_injections, solve

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def base_case(name: str, *, slack_vm_pu: float | None = None) -> dict[str, Any]:
    """Nominal loads and the power flow they cause, by the exact sweep.

    Parameters
    ----------
    name
        A network as :func:`peergrid.network.library.resolve_network` takes it.
    slack_vm_pu
        Voltage at the head; the network's own by default.

    Returns
    -------
    ``buses, load_kw, load_kvar, loss_kw, loss_kvar, vm_min_pu, vm_min_bus``; buses are the ones
    of the model: those that closed switches join count once.
    """
    feeder = from_pandapower(_net(name, slack_vm_pu), name=name)
    flow = solve(feeder, *base_injections(feeder))
    if not flow.converged.all():
        raise SolverError(f"{name}: the nominal loads have no power flow solution")
    lowest = int(np.argmin(flow.vm_pu[:, 0]))
    return {
        "buses": feeder.n_bus,
        "load_kw": float(feeder.p_load_kw.sum()),
        "load_kvar": float(feeder.q_load_kvar.sum()),
        "loss_kw": float(flow.loss_kw[0]),
        "loss_kvar": float(flow.loss_kvar[0]),
        "vm_min_pu": float(flow.vm_pu[lowest, 0]),
        "vm_min_bus": int(feeder.bus_id[lowest]),
    }


def save_net(name: str, path: Path, *, slack_vm_pu: float | None = None) -> None:
    """Save a network as a pandapower JSON file, to edit it or to give it to others."""
    import pandapower

    if path.exists():
        raise DataError("feeder", "--out", str(path), "a file that does not exist yet")
    net = _net(name, slack_vm_pu)
    try:
        pandapower.to_json(net, str(path))
    except OSError as error:
        raise DataError("feeder", "--out", str(path), f"a place to write ({error})") from error


def show_base_case(case: dict[str, Any]) -> None:
    """Print a base case for people."""
    typer.echo(
        f"{case['buses']} buses, load {case['load_kw']:.1f} kW + {case['load_kvar']:.1f} kvar\n"
        f"losses {case['loss_kw']:.3f} kW + {case['loss_kvar']:.3f} kvar, "
        f"lowest voltage {case['vm_min_pu']:.5f} pu at bus {case['vm_min_bus']}"
    )


def _net(name: str, slack_vm_pu: float | None) -> "pandapowerNet":
    if slack_vm_pu is not None and not 0.0 < slack_vm_pu < 2.0:
        raise DataError("feeder", "--slack", slack_vm_pu, "a voltage in pu, such as 1.0")
    net = resolve_network(name)
    if slack_vm_pu is not None:
        net.ext_grid["vm_pu"] = slack_vm_pu
    return net

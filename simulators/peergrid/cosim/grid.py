"""The distribution grid: AC power flow of any pandapower net, once a step.

Takes and gives the names of ``mosaik_components.pandapower``, so either serves in a scenario::

    grid_sim = world.start("Grid", step_size=3600)
    grid = grid_sim.Grid(network="ieee33")
    buses = {bus.extra_info["index"]: bus for bus in grid.children if bus.type == "Bus"}
    world.connect(load, buses[18], ("P[MW]", "P_load[MW]"))

A bus input that nobody sends is zero. The net's own loads and static generators are taken out;
what they were is in the ``extra_info`` of the buses, for scenarios that give them to a Load. A step
whose power flow does not converge gives NaN and ``converged`` False, and the next one starts anew.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import mosaik_api_v3
import numpy as np
from loguru import logger

from peergrid.cosim.base import Inputs, Outputs, Simulator, plain, total
from peergrid.errors import DataError, ModelError
from peergrid.network.ac import GridResult, PandapowerGrid
from peergrid.network.plant_net import BusPower, check_net, check_spread, varied_lines
from peergrid.units import kw_from_mw

if TYPE_CHECKING:
    import pandas as pd
    from pandapower import pandapowerNet

GRID = "Grid-0"
# model -> table of the net, columns of the buses it is connected to
_CHILDREN = {
    "Bus": ("bus", ()),
    "Line": ("line", ("from_bus", "to_bus")),
    "Trafo": ("trafo", ("hv_bus", "lv_bus")),
    "ExternalGrid": ("ext_grid", ("bus",)),
}
_INPUTS = {
    "P_load[MW]": "p_load_mw",
    "Q_load[MVar]": "q_load_mvar",
    "P_gen[MW]": "p_gen_mw",
    "Q_gen[MVar]": "q_gen_mvar",
}
_OUTPUTS = {
    "Bus": {"P[MW]": "p_mw", "Q[MVar]": "q_mvar", "Vm[pu]": "vm_pu", "Va[deg]": "va_deg"},
    "Line": {
        "I[kA]": "line_i_ka",
        "loading[%]": "line_loading_percent",
        "P_loss[MW]": "line_p_loss_mw",
    },
    "Trafo": {
        "I[kA]": "trafo_i_ka",
        "loading[%]": "trafo_loading_percent",
        "P_loss[MW]": "trafo_p_loss_mw",
    },
    "ExternalGrid": {"P[MW]": "ext_p_mw", "Q[MVar]": "ext_q_mvar"},
}


class GridSimulator(Simulator):
    """One grid: model ``Grid`` with children ``Bus``, ``Line``, ``Trafo``, ``ExternalGrid``.

    Children are named after their index in the net (``Bus-18``) and are related to their buses.
    """

    models: ClassVar[tuple[str, ...]] = ("Grid", *_CHILDREN)
    extra_methods: ClassVar[tuple[str, ...]] = ("get_extra_info", "get_net")

    def __init__(self) -> None:
        super().__init__()
        self._grid: PandapowerGrid | None = None
        self._eids: dict[str, list[str]] = {}
        self._rows: dict[str, int] = {}
        self._extra_info: dict[str, dict[str, Any]] = {}

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create the grid.

        Parameters
        ----------
        model
            ``Grid``.
        index
            0: a simulator holds one grid.
        **params
            One of ``net`` (a pandapowerNet; in the same process only), ``json`` (file written by
            pandapower) or ``network`` (see :func:`peergrid.network.library.resolve_network`), and
            ``slack_vm_pu``, ``impedance_scale`` of :class:`peergrid.network.ac.PandapowerGrid`;
            ``impedance_spread`` and ``seed`` of :func:`peergrid.network.plant_net.varied_lines`.
        """
        if index:
            raise ModelError(f"{self.sid}: a grid simulator holds one Grid; start another one")
        net = find_net(
            params.pop("net", None), params.pop("json", None), params.pop("network", None)
        )
        given = {name: value for name, value in params.items() if value is not None}
        spread, seed = given.pop("impedance_spread", 0.0), given.pop("seed", 0)
        check_net(net)
        check_spread(str(net.name or "net"), spread, seed)
        self._grid = PandapowerGrid(varied_lines(net, spread, seed), **given)
        children = [child for name in _CHILDREN for child in self._children(self._grid, name)]
        self._rows = {eid: row for row, eid in enumerate(self._eids["Bus"])}
        return {"eid": GRID, "children": children, "extra_info": {"name": self._grid.name}}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """One power flow with what arrived at the buses."""
        if self._grid is None:
            return {}
        power = self._decode(inputs)
        result = self._grid.solve(
            power.p_load_mw, power.q_load_mvar, power.p_gen_mw, power.q_gen_mvar
        )
        if not result.converged:
            logger.warning("{}: power flow of step {} did not converge", self.sid, index)
        return self._encode(result)

    def get_extra_info(self) -> dict[str, dict[str, Any]]:
        """``extra_info`` of every child by entity id."""
        return {eid: dict(info) for eid, info in self._extra_info.items()}

    def get_net(self) -> "pandapowerNet":
        """The plant's net, without its own loads and without results (same process only)."""
        if self._grid is None:
            raise ModelError(f"{self.sid}: no Grid has been created yet")
        return self._grid.net

    def _children(self, grid: PandapowerGrid, model: str) -> Iterator[dict[str, Any]]:
        table, bus_columns = _CHILDREN[model]
        rows = grid.net[table]
        self._eids[model] = [f"{model}-{label}" for label in rows.index]
        for row, eid in enumerate(self._eids[model]):
            self._extra_info[eid] = extra_info(grid, model, row)
            yield {
                "eid": eid,
                "type": model,
                "rel": [f"Bus-{rows[column].iloc[row]}" for column in bus_columns],
                "extra_info": self._extra_info[eid],
            }

    def _decode(self, inputs: Inputs) -> BusPower:
        power = BusPower.zeros(len(self._rows))
        for eid, attributes in inputs.items():
            for name in attributes:
                if eid not in self._rows or name not in _INPUTS:
                    takes = ", ".join(_INPUTS)
                    raise ModelError(f"{self.sid}: {eid} takes no {name}; a Bus takes {takes}")
                column = getattr(power, _INPUTS[name])
                column[self._rows[eid]] = total(inputs, eid, name) or 0.0
        return power

    def _encode(self, result: GridResult) -> Outputs:
        outputs: Outputs = {
            GRID: {
                "P_loss[MW]": result.p_loss_mw,
                "Q_loss[MVar]": result.q_loss_mvar,
                "converged": result.converged,
            }
        }
        for model, fields in _OUTPUTS.items():
            columns = [plain(getattr(result, field)) for field in fields.values()]
            for eid, values in zip(self._eids[model], zip(*columns, strict=True), strict=True):
                outputs[eid] = dict(zip(fields, values, strict=True))
        return outputs


def find_net(net: Any, json: str | None, network: str | None) -> "pandapowerNet":
    """The net that exactly one of the creation parameters names.

    Raises
    ------
    DataError
        If none or several are given, or there is no such network.
    """
    from peergrid.network.json_net import read_net
    from peergrid.network.library import resolve_network

    given = {"net": net, "json": json, "network": network}
    named = sorted(name for name, value in given.items() if value is not None)
    if len(named) != 1:
        raise DataError("Grid", "network", named or None, "one of net, json, network")
    if json is not None:
        return read_net(Path(json))
    return net if network is None else resolve_network(network)


def extra_info(grid: PandapowerGrid, model: str, row: int) -> dict[str, Any]:
    """What a scenario may want to know of a child, JSON-ready; official keys first."""
    net = grid.net
    values = net[_CHILDREN[model][0]].iloc[row]
    info: dict[str, Any] = {
        "name": _text(values.get("name")),
        "index": int(net[_CHILDREN[model][0]].index[row]),
    }
    if model == "Bus":
        own = grid.nominal
        info["nominal voltage [kV]"] = float(values["vn_kv"])
        info["p_nom_kw"] = float(kw_from_mw(own.p_load_mw)[row])
        info["q_nom_kvar"] = float(kw_from_mw(own.q_load_mvar)[row])
        info["p_gen_nom_kw"] = float(kw_from_mw(own.p_gen_mw)[row])
        info["q_gen_nom_kvar"] = float(kw_from_mw(own.q_gen_mvar)[row])
    elif model == "Line":
        info["rating_ka"] = float(grid.line_rating_ka[row])
        info["rating_assumed"] = bool(grid.line_rating_assumed[row])
    elif model == "Trafo":
        info["rating_mva"] = _mva(values)
    else:
        info["vm_pu"] = float(values["vm_pu"])
    return info


def _mva(trafo: "pd.Series[Any]") -> float:
    return float(trafo["sn_mva"] * trafo["parallel"] * trafo["df"])


def _text(value: object) -> str | None:
    """A name of the net as text; None where it has none.

    >>> _text(float("nan")), _text("Bus 1")
    (None, 'Bus 1')
    """
    missing = value is None or (isinstance(value, float) and not np.isfinite(value))
    return None if missing else str(value)


def main() -> None:
    """Run the simulator as a process of its own, for ``cmd`` and ``connect``."""
    mosaik_api_v3.start_simulation(GridSimulator(), "Grid of peergrid")


if __name__ == "__main__":
    main()

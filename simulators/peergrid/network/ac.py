"""The plant: AC power flow of any pandapower net, hour after hour, by pandapower itself.

pandapower turns the net into its internal arrays once; each hour writes P and Q into a fresh copy
of them, runs pandapower's own algorithm and reads the arrays. The tables of the net are left out,
which is where ``runpp`` spends most of its time. Nothing of one hour reaches the next: every solve
starts as ``runpp`` does by default (a DC power flow where voltage angles matter; a flat start does
not converge on many nets with phase-shifting transformers), so voltages are those of ``runpp`` to
the last bit (with load at a bus that is cut off: to 1e-12), whatever was solved before.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from peergrid.network.feeder import Bools, Floats, Ints
from peergrid.network.plant_net import (
    BusPower,
    check_net,
    check_plant_values,
    line_ratings,
    nominal_power,
    plant_net,
    run_empty,
)

if TYPE_CHECKING:
    from pandapower import pandapowerNet

_VM, _VA, _PD, _QD, _BASE_KV = 7, 8, 2, 3, 9  # columns of the MATPOWER case format


@dataclass(frozen=True, kw_only=True, eq=False)
class GridResult:
    """One power flow; rows as in the tables of the net, NaN where it did not converge.

    Parameters
    ----------
    converged
        Whether there is a solution.
    vm_pu, va_deg
        Voltage of each bus [pu, degree]; NaN where it is dead.
    p_mw, q_mvar
        Net power drawn at each bus, as pandapower's ``res_bus``: load minus generation, plus
        shunts, minus the external grid's import.
    line_i_ka, line_loading_percent, line_p_loss_mw
        Larger current of both ends [kA], that over the rating [%], active losses [MW].
    trafo_i_ka, trafo_loading_percent, trafo_p_loss_mw
        Current of the high-voltage side [kA], loading as pandapower's [%], active losses [MW].
    ext_p_mw, ext_q_mvar
        Import from each external grid [MW, MVar].
    p_loss_mw, q_loss_mvar
        Losses of all branches [MW, MVar].
    """

    converged: bool
    vm_pu: Floats
    va_deg: Floats
    p_mw: Floats
    q_mvar: Floats
    line_i_ka: Floats
    line_loading_percent: Floats
    line_p_loss_mw: Floats
    trafo_i_ka: Floats
    trafo_loading_percent: Floats
    trafo_p_loss_mw: Floats
    ext_p_mw: Floats
    ext_q_mvar: Floats
    p_loss_mw: float
    q_loss_mvar: float


class PandapowerGrid:
    """A pandapower net whose loads and generation are given hour by hour.

    The net is copied. Its loads, static generators, storage units, motors and the constant-power
    part of its wards are taken out, so that nothing is counted twice; :attr:`nominal` says what
    they were. Shunts and voltage-controlled generators (``gen``) stay as they are.

    Parameters
    ----------
    net
        The pandapower net; it may be meshed and have several external grids.
    slack_vm_pu
        Voltage of the external grids [pu]; the net's own by default.
    impedance_scale
        Factor on the series impedances of lines and transformers: a plant that differs from the
        model others have of it.

    Raises
    ------
    DataError
        If an argument is out of range.
    ModelError
        If the net holds something that the plant does not model, or has no power flow solution
        even without load.

    Examples
    --------
    >>> from peergrid.network.library import resolve_network
    >>> grid = PandapowerGrid(resolve_network("ieee33"))
    >>> own = grid.nominal
    >>> result = grid.solve(own.p_load_mw, own.q_load_mvar, own.p_gen_mw, own.q_gen_mvar)
    >>> round(float(result.vm_pu.min()), 4), round(result.p_loss_mw, 4)
    (0.9131, 0.2027)
    """

    def __init__(
        self,
        net: "pandapowerNet",
        *,
        slack_vm_pu: float | None = None,
        impedance_scale: float = 1.0,
    ) -> None:
        check_net(net)
        self.name = str(net.name or "net")
        check_plant_values(self.name, slack_vm_pu, impedance_scale)
        self.nominal = nominal_power(net)
        self.line_rating_ka, self.line_rating_assumed = line_ratings(net)
        self.net = plant_net(net, slack_vm_pu=slack_vm_pu, impedance_scale=impedance_scale)
        self._build()

    @property
    def bus_index(self) -> list[int]:
        """Index of each bus in the net, in the order of all bus arrays."""
        return [int(i) for i in self.net.bus.index]

    def solve(
        self, p_load_mw: Floats, q_load_mvar: Floats, p_gen_mw: Floats, q_gen_mvar: Floats
    ) -> GridResult:
        """Power flow of one hour, independent of earlier ones.

        Parameters
        ----------
        p_load_mw, q_load_mvar
            Load of each bus [MW, MVar], in the order of :attr:`bus_index`.
        p_gen_mw, q_gen_mvar
            Generation of each bus [MW, MVar].

        Returns
        -------
        GridResult
            Power at dead buses is ignored, as in pandapower.
        """
        from pandapower.powerflow import _run_pf_algorithm

        served = BusPower(
            p_load_mw=p_load_mw * self._alive,
            q_load_mvar=q_load_mvar * self._alive,
            p_gen_mw=p_gen_mw * self._alive,
            q_gen_mvar=q_gen_mvar * self._alive,
        )
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # singular matrices on the way to not converging
            solved = _run_pf_algorithm(self._loaded(served), self._options)
            if not solved["success"]:
                return self._nothing()
            return self._read(solved, served)

    # -- once ------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Keep pandapower's internal arrays, and where the net's elements are in them."""
        from pandapower.pd2ppc import _pd2ppc
        from pandapower.powerflow import _run_pf_algorithm

        net = self.net
        run_empty(net, self.name)
        self._options = {**net._options, "recycle": None}
        ppc, self._ppci = _pd2ppc(net)
        rows = net._pd2ppc_lookups["bus"][net.bus.index.to_numpy()]
        self._rows: Ints = np.asarray(rows, dtype=np.int64)
        # every element that draws power, in pandapower's order; of wards no power is left
        ward_rows = net._pd2ppc_lookups["bus"][net.ward["bus"].to_numpy(dtype=np.int64)]
        self._summands: Ints = np.concatenate([rows, rows, ward_rows]).astype(np.int64)
        self._no_ward = np.zeros(len(ward_rows))
        self._in_service: Bools = net.bus["in_service"].to_numpy(dtype=bool)
        self._alive: Bools = self._in_service & (self._rows < len(self._ppci["bus"]))
        self._n_rows = len(ppc["bus"])
        self._ends: Ints = ppc["branch"][:, :2].real.astype(np.int64)
        self._ends_kv: Floats = ppc["bus"][self._ends, _BASE_KV].real
        self._branch_on: Bools = np.array(self._ppci["internal"]["branch_is"], dtype=bool)
        self._gen_on: Bools = np.array(self._ppci["internal"]["gen_is"], dtype=bool)
        self._slices = dict(net._pd2ppc_lookups["branch"])
        self._y_p, self._y_q = _shunts(net)
        self._sources = _sources(net)
        if self._options["algorithm"] == "nr" and not self._options.get("tdpf"):
            # the admittance matrices do not change: take them from a first solve
            first = _run_pf_algorithm(self._loaded(BusPower.zeros(len(rows))), self._options)
            self._ppci["internal"] = first["internal"]
            self._options["recycle"] = {"bus_pq": True, "trafo": False, "gen": False}

    # -- each hour -------------------------------------------------------------------------------

    def _loaded(self, power: BusPower) -> dict[str, Any]:
        """A fresh copy of the internal arrays with this load and generation in it."""
        from pandapower.auxiliary import _sum_by_group

        pristine = self._ppci
        ppci = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in pristine.items()}
        ppci["internal"] = dict(pristine["internal"])
        # load first, then generation, summed by pandapower's function: the same bits as runpp
        rows, p, q = _sum_by_group(
            self._summands,
            np.concatenate([power.p_load_mw, -power.p_gen_mw, self._no_ward]),
            np.concatenate([power.q_load_mvar, -power.q_gen_mvar, self._no_ward]),
        )
        live = rows < len(ppci["bus"])
        ppci["bus"][rows[live], _PD] = p[live]
        ppci["bus"][rows[live], _QD] = q[live]
        return ppci

    def _read(self, solved: Mapping[str, Any], power: BusPower) -> GridResult:
        vm, va = np.full(self._n_rows, np.nan), np.full(self._n_rows, np.nan)
        vm[: len(solved["bus"])] = solved["bus"][:, _VM]
        va[: len(solved["bus"])] = solved["bus"][:, _VA]
        flow = np.zeros((len(self._ends), 4))  # p, q at the from end, p, q at the to end
        flow[self._branch_on] = _flows(solved["branch"])
        s_mva = np.sqrt(flow[:, [0, 2]] ** 2 + flow[:, [1, 3]] ** 2)
        i_ka = s_mva / (vm[self._ends] * self._ends_kv) / np.sqrt(3)
        loss = flow[:, :2] + flow[:, 2:]
        generation = np.zeros((len(self._gen_on), 2))
        generation[self._gen_on] = solved["gen"][:, 1:3]
        sources = self._sources
        bus_vm = np.where(self._in_service, vm[self._rows], np.nan)
        p_bus, q_bus = self._bus_power(power, bus_vm, generation)
        ext = np.where(sources.ext_rows[:, None] < 0, 0.0, generation[sources.ext_rows])
        lines, trafos = self._slice("line"), self._slice("trafo")
        line_i = i_ka[lines].max(axis=1, initial=0.0)
        return GridResult(
            converged=True,
            vm_pu=bus_vm,
            va_deg=np.where(self._in_service, va[self._rows], np.nan),
            p_mw=p_bus,
            q_mvar=q_bus,
            line_i_ka=line_i,
            line_loading_percent=line_i / self.line_rating_ka * 100.0,
            line_p_loss_mw=loss[lines, 0],
            trafo_i_ka=i_ka[trafos, 0],
            trafo_loading_percent=self._trafo_loading(i_ka[trafos], s_mva[trafos]),
            trafo_p_loss_mw=loss[trafos, 0],
            ext_p_mw=ext[:, 0],
            ext_q_mvar=ext[:, 1],
            p_loss_mw=float(loss[:, 0].sum()),
            q_loss_mvar=float(loss[:, 1].sum()),
        )

    def _bus_power(self, power: BusPower, vm: Floats, generation: Floats) -> tuple[Floats, Floats]:
        """Net power drawn at each bus; zero where it is cut off, NaN where out of service."""
        vm2 = np.nan_to_num(vm) ** 2
        p = power.p_load_mw - power.p_gen_mw + self._y_p * vm2
        q = power.q_load_mvar - power.q_gen_mvar + self._y_q * vm2
        sources = self._sources
        np.subtract.at(p, sources.buses, generation[sources.rows, 0])
        np.subtract.at(q, sources.buses, generation[sources.rows, 1])
        return np.where(self._in_service, p, np.nan), np.where(self._in_service, q, np.nan)

    def _trafo_loading(self, i_ka: Floats, s_mva: Floats) -> Floats:
        """Loading as pandapower defines it, by rated current or by rated power [%]."""
        trafo = self.net.trafo
        if len(trafo) == 0:
            return np.zeros(0)
        share = s_mva
        if self._options["trafo_loading"] == "current":
            share = i_ka * trafo[["vn_hv_kv", "vn_lv_kv"]].to_numpy(dtype=float) * np.sqrt(3)
        rated = trafo["sn_mva"].to_numpy(dtype=float)[:, np.newaxis]
        loading = np.max(share / rated * 100.0, axis=1)
        return np.asarray(loading / (trafo["parallel"] * trafo["df"]).to_numpy(dtype=float))

    def _slice(self, table: str) -> slice:
        return slice(*self._slices.get(table, (0, 0)))

    def _nothing(self) -> GridResult:
        """The result of an hour without a solution."""
        count = {
            "line": len(self.net.line),
            "trafo": len(self.net.trafo),
            "ext": len(self.net.ext_grid),
        }
        values: dict[str, Any] = {
            field.name: np.full(count.get(field.name.split("_")[0], len(self._rows)), np.nan)
            for field in fields(GridResult)
        }
        values.update(converged=False, p_loss_mw=float("nan"), q_loss_mvar=float("nan"))
        return GridResult(**values)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sources:
    """Positions of external grids and voltage-controlled generators.

    ``ext_rows`` is the row of each external grid in the internal generator array, -1 where it is
    out of service; ``rows, buses`` are row and bus position of every source in service.
    """

    ext_rows: Ints
    rows: Ints
    buses: Ints


def _sources(net: "pandapowerNet") -> _Sources:
    position = {bus: row for row, bus in enumerate(net.bus.index)}
    found = {}
    for table in ("ext_grid", "gen"):
        rows = np.full(len(net[table]), -1, dtype=np.int64)
        on = np.asarray(net._is_elements[table], dtype=bool)
        if np.any(on):
            rows[on] = net._pd2ppc_lookups[table][net[table].index.to_numpy()[on]]
        found[table] = rows
    rows = np.concatenate([found["ext_grid"], found["gen"]])
    buses = np.array(
        [position[bus] for table in found for bus in net[table]["bus"]], dtype=np.int64
    )
    return _Sources(ext_rows=found["ext_grid"], rows=rows[rows >= 0], buses=buses[rows >= 0])


def _shunts(net: "pandapowerNet") -> tuple[Floats, Floats]:
    """Power of shunts and wards at each bus at 1 pu [MW, MVar], from the solved empty net."""
    position = {bus: row for row, bus in enumerate(net.bus.index)}
    p, q = np.zeros(len(net.bus)), np.zeros(len(net.bus))
    for table in ("shunt", "ward"):
        if len(net[table]) == 0:
            continue
        result = net[f"res_{table}"]
        vm2 = result["vm_pu"].to_numpy(dtype=float) ** 2
        per_unit = np.where(vm2 > 0.0, vm2, np.inf)
        at = [position[bus] for bus in net[table]["bus"]]
        np.add.at(p, at, np.nan_to_num(result["p_mw"].to_numpy(dtype=float)) / per_unit)
        np.add.at(q, at, np.nan_to_num(result["q_mvar"].to_numpy(dtype=float)) / per_unit)
    return p, q


def _flows(branch: Any) -> Floats:
    """P and Q at the from end, P and Q at the to end [MW, MVar] of the internal branches."""
    return np.asarray(branch[:, 13:17].real, dtype=np.float64)

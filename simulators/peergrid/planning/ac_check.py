"""Every answer is checked by pandapower, which shares no equation with the planner."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.network.ac import GridResult, PandapowerGrid
from peergrid.network.matpower import net_of_case
from peergrid.planning.figures import Figures
from peergrid.planning.plan import Plan
from peergrid.units import kw_from_mw, mw_from_kw

Floats = NDArray[np.float64]
CLEAN = 1e-6
"""Excess of a voltage [pu] or loading [1] that counts as round-off."""


@dataclass(frozen=True, kw_only=True)
class AcCheck:
    """What pandapower finds.

    Parameters
    ----------
    converged
        Whether every step has a power flow.
    v_min_pu, v_max_pu
        Extreme voltages, the root's left out.
    max_loading
        Highest loading of lines and transformers [1].
    loss_kwh
        Active losses, those of shunts included.
    violation_pu
        Largest excess of a voltage [pu] or loading [1]; infinite without a power flow.
    max_v_error_pu
        Largest distance of our voltages from pandapower's.
    """

    converged: bool
    v_min_pu: float
    v_max_pu: float
    max_loading: float
    loss_kwh: float
    violation_pu: float
    max_v_error_pu: float

    @property
    def is_clean(self) -> bool:
        """Whether every limit is kept."""
        return self.converged and self.violation_pu <= CLEAN

    def to_dict(self) -> dict[str, Any]:
        """The same in the words of JSON."""
        finite = {k: v if np.isfinite(v) else None for k, v in asdict(self).items()}
        return {**finite, "converged": self.converged, "clean": self.is_clean}


def ac_check(plan: Plan, figures: Figures) -> AcCheck:
    """Solve all steps of a plan with pandapower."""
    problem, feeder = plan.problem, plan.problem.feeder
    net = net_of_case(feeder) if problem.net is None else problem.net
    grid = PandapowerGrid(net, slack_vm_pu=feeder.slack_vm_pu)
    place = {bus: k for k, bus in enumerate(grid.bus_index)}
    own = feeder.bus_id >= 0
    at = np.array([place[int(bus)] for bus in feeder.bus_id[own]], dtype=np.int64)
    p_inj, q_inj = plan.p_inj_kw[own], problem.q_inj_kvar[own]
    solved = [
        _solved(grid, at, mw_from_kw(-p_inj[:, t]), mw_from_kw(-q_inj[:, t]))
        for t in range(problem.steps)
    ]
    if not all(one.converged for one in solved):
        nan = float("nan")
        return AcCheck(
            converged=False,
            v_min_pu=nan,
            v_max_pu=nan,
            max_loading=nan,
            loss_kwh=nan,
            violation_pu=np.inf,
            max_v_error_pu=nan,
        )
    vm = np.stack([one.vm_pu[at] for one in solved], axis=1)
    below_root = feeder.bus_id[own] != feeder.bus_id[0]
    loading = max(_loading(one) for one in solved)
    lowest = float(vm[below_root].min(initial=np.inf))
    highest = float(vm[below_root].max(initial=-np.inf))
    drawn_mw = float(sum(one.ext_p_mw.sum() for one in solved))
    over = (problem.v_min_pu - lowest, highest - problem.v_max_pu, loading - problem.max_loading)
    return AcCheck(
        converged=True,
        v_min_pu=lowest,
        v_max_pu=highest,
        max_loading=loading,
        loss_kwh=(kw_from_mw(drawn_mw) + float(p_inj.sum())) * problem.dt_h,
        violation_pu=max(*over, 0.0),
        max_v_error_pu=float(np.abs(vm - figures.flow.vm_pu[own]).max()),
    )


def _solved(
    grid: PandapowerGrid, at: NDArray[np.int64], p_mw: Floats, q_mvar: Floats
) -> GridResult:
    """One step; every bus draws net power."""
    load, reactive = np.zeros((2, len(grid.bus_index)))
    load[at], reactive[at] = p_mw, q_mvar
    return grid.solve(load, reactive, np.zeros_like(load), np.zeros_like(load))


def _loading(result: GridResult) -> float:
    """Highest loading of a step [1]; branches that are out of service say nothing."""
    parts = np.concatenate([result.line_loading_percent, result.trafo_loading_percent])
    return float(np.nan_to_num(parts).max(initial=0.0)) / 100.0

"""A ``Feeder`` from any radial pandapower net.

pandapower itself turns the net into its per-unit branch model (fused buses, open switches, taps,
transformer models, stars of three-winding transformers, scaling), and this module reads that
model, so what ``runpp`` solves is what the feeder holds. The branch model is the one of MATPOWER
(R. D. Zimmerman et al., "MATPOWER", IEEE Trans. Power Systems 26(1), 2011, eqs. 1-2)::

    from o--( t : 1 )--+--[ z ]--+--o to          t = tap * exp(j shift), at the from side
                      y_f       y_t

With the parent at the from side the branch is as a feeder wants it, ``y_f / |t|^2`` being at the
parent bus. With the parent at the to side the transformer is at the child's side of the impedance:
the ratio becomes ``1 / t``, the impedance ``|t|^2 z`` and the child's shunt ``y_f / |t|^2``.
"""

import copy
from typing import TYPE_CHECKING

import numpy as np

from peergrid.errors import ModelError
from peergrid.network.feeder import Complexes, Feeder, Floats
from peergrid.network.pandapower_branches import (
    OUT_OF_SERVICE,
    Branches,
    merge_parallel,
    read_branches,
)
from peergrid.network.ratings import with_assumed_ratings
from peergrid.network.representable import check_elements, check_islands
from peergrid.network.topology import Tree, breadth_first
from peergrid.units import kw_from_mw

if TYPE_CHECKING:
    from pandapower import pandapowerNet

# what pandapower raises on tables it cannot turn into its model
_UNBUILDABLE = (
    ArithmeticError,
    LookupError,
    NotImplementedError,
    TypeError,
    UserWarning,
    ValueError,
)


def from_pandapower(net: "pandapowerNet", *, name: str | None = None) -> Feeder:
    """Read a radial pandapower net.

    The net is not changed. Its power-flow options (``user_pf_options``) count as in ``runpp``.
    Ratings: a line's ``max_i_ka * df * parallel``; a transformer's
    ``sn_mva * df * parallel / (sqrt(3) vn)`` at each end with its rated voltage there, so that
    ``PowerFlow.loading`` is pandapower's ``loading_percent / 100``; a switch's ``in_ka``. Where
    these are no ratings (``ratings`` says when), one is assumed and marked. Branches side by side
    between the same two buses, with equal taps, become one branch.

    Parameters
    ----------
    net
        The pandapower net.
    name
        Name of the feeder; the net's own, or "net", by default.

    Raises
    ------
    DataError
        If an element is at a missing bus or holds something that is no number.
    ModelError
        If the net holds something a feeder cannot represent (the message names the element and
        says what to do), is meshed, or has load at an islanded bus.
    """
    where = name or str(net.name or "net")
    check_elements(net, where)
    solved = _internal_model(net, where)
    lookup = _bus_lookup(solved)
    bus = solved._ppc["bus"].real
    _check_islands(solved, lookup, where)
    branches = merge_parallel(read_branches(solved, where))
    root = lookup[int(net.ext_grid.bus[net.ext_grid.in_service.astype(bool)].iloc[0])]
    ends = list(zip(branches.start.tolist(), branches.end.tolist(), strict=True))
    tree = breadth_first(root, ends, branches.labels(), where=where)
    unrated = _assemble(where, solved, bus, branches, tree, lookup)
    return with_assumed_ratings(unrated)


def _internal_model(net: "pandapowerNet", where: str) -> "pandapowerNet":
    """A copy of the net with pandapower's internal arrays; it need not have a solution."""
    import pandapower
    from pandapower.auxiliary import LoadflowNotConverged

    solved = copy.deepcopy(net)
    try:
        pandapower.runpp(solved, init="flat", numba=False)
    except LoadflowNotConverged:
        pass  # the arrays are built before the iteration starts
    except _UNBUILDABLE as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{where}: pandapower cannot build the network: {reason}") from error
    if solved._options.get("tdpf"):
        raise ModelError(
            f"{where}: temperature-dependent lines (tdpf) cannot be represented; switch tdpf off"
        )
    return solved


def _bus_lookup(solved: "pandapowerNet") -> dict[int, int]:
    """Row of the internal bus array for every pandapower bus that takes part."""
    table = solved._pd2ppc_lookups["bus"]
    kinds = solved._ppc["bus"][:, 1].real
    on = solved.bus["in_service"].to_numpy(dtype=bool)
    labels = solved.bus.index.to_numpy()[on]
    return {int(b): int(table[b]) for b in labels if kinds[table[b]] != OUT_OF_SERVICE}


def _check_islands(solved: "pandapowerNet", lookup: dict[int, int], where: str) -> None:
    on = solved.bus.index[solved.bus["in_service"].astype(bool)]
    check_islands(solved, {int(b) for b in on} - set(lookup), where)


def _assemble(
    name: str,
    solved: "pandapowerNet",
    bus: Floats,
    branches: Branches,
    tree: Tree,
    lookup: dict[int, int],
) -> Feeder:
    """Columns of the feeder in tree order; ratings may still be NaN."""
    from pandapower.pypower.idx_bus import BASE_KV, BS, GS, PD, QD

    base_mva = float(solved._ppc["baseMVA"])
    order = np.array(tree.order)
    parent = np.array(tree.parent)
    own = _oriented(branches, tree)
    shunt = (bus[order, GS] + 1j * bus[order, BS]) / base_mva + own["y_child"]
    np.add.at(shunt, np.maximum(parent, 0), own["y_parent"])
    slack = solved.ext_grid[solved.ext_grid.in_service.astype(bool)].iloc[0]
    angles = bool(solved._options["calculate_voltage_angles"])
    feeds = np.array(tree.branch)
    bus_id, bus_map = _labels(tree, lookup, int(slack["bus"]))
    return Feeder(
        name=name,
        base_mva=base_mva,
        bus_id=np.array(bus_id, dtype=np.int64),
        vn_kv=bus[order, BASE_KV],
        parent=parent,
        r_pu=own["z"].real,
        x_pu=own["z"].imag,
        ratio=np.abs(own["ratio"]),
        shift_deg=np.rad2deg(np.angle(own["ratio"])),
        branch_kind=("line", *(branches.kind[k] for k in tree.branch[1:])),
        branch_index=np.where(feeds < 0, -1, branches.index[feeds] if len(branches.index) else -1),
        g_sh_pu=shunt.real,
        b_sh_pu=shunt.imag,
        p_load_kw=kw_from_mw(bus[order, PD]),
        q_load_kvar=kw_from_mw(bus[order, QD]),
        slack_vm_pu=float(slack["vm_pu"]),
        slack_va_deg=float(slack["va_degree"]) if angles else 0.0,
        i_max_ka=np.where(np.isnan(own["i_child"].real), np.inf, own["i_child"].real),
        i_max_parent_ka=np.where(np.isnan(own["i_parent"].real), np.inf, own["i_parent"].real),
        rating_assumed=own["assumed"].real.astype(bool),
        y_parent_pu=own["y_parent"],
        y_child_pu=own["y_child"],
        bus_map=bus_map,
    )


def _oriented(branches: Branches, tree: Tree) -> dict[str, Complexes]:
    """Branch columns of each position of the tree, parent to child; zeros (ratio 1) at the root."""
    n = len(tree.order)
    names = ("z", "ratio", "y_parent", "y_child", "i_parent", "i_child", "assumed")
    own = {name: np.zeros(n, dtype=np.complex128) for name in names}
    own["ratio"][0] = 1.0
    for i in range(1, n):
        k = tree.branch[i]
        forward = branches.end[k] == tree.order[i]
        t = branches.t[k]
        own["ratio"][i] = t if forward else 1.0 / t
        own["z"][i] = branches.z[k] * (1.0 if forward else abs(t) ** 2)
        at_start, at_end = ("parent", "child") if forward else ("child", "parent")
        own[f"y_{at_start}"][i] = branches.y_start[k]
        own[f"y_{at_end}"][i] = branches.y_end[k]
        own[f"i_{at_start}"][i] = branches.i_start_ka[k]
        own[f"i_{at_end}"][i] = branches.i_end_ka[k]
        own["assumed"][i] = branches.assumed[k]
    return own


def _labels(tree: Tree, lookup: dict[int, int], slack: int) -> tuple[list[int], dict[int, int]]:
    """Label of every position, and the position of every pandapower bus."""
    position = {node: k for k, node in enumerate(tree.order)}
    bus_map = {label: position[node] for label, node in lookup.items() if node in position}
    bus_id: list[int | None] = [None] * len(tree.order)
    for label in (slack, *sorted(bus_map)):
        if bus_id[bus_map[label]] is None:
            bus_id[bus_map[label]] = label
    auxiliary = 0
    for k, known in enumerate(bus_id):
        if known is None:
            auxiliary -= 1
            bus_id[k] = auxiliary
            bus_map[auxiliary] = k
    return [label for label in bus_id if label is not None], bus_map

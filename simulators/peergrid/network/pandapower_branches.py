"""The branches of a pandapower net as pandapower's own branch model holds them, with ratings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import ModelError
from peergrid.network.feeder import Bools, Complexes, Floats, Ints
from peergrid.network.ratings import is_line_rating, is_trafo_rating

if TYPE_CHECKING:
    from pandapower import pandapowerNet

ASSUMED_COLUMN = "rating_assumed"  # column of net.line that marks ratings nobody gave
OUT_OF_SERVICE = 4  # type of a bus that takes no part, in the MATPOWER case format


@dataclass(frozen=True, kw_only=True, eq=False)
class Branches:
    """In-service branches, one entry each: nodes (rows of the internal bus array), model, rating.

    MATPOWER's model: ideal transformer ``t : 1`` at the start, series impedance ``z``, shunts
    ``y_start`` (already at the bus, in front of the transformer) and ``y_end`` [pu].
    ``i_start_ka, i_end_ka`` are ratings at the two ends [kA], NaN where there is none.
    """

    start: Ints
    end: Ints
    z: Complexes
    t: Complexes
    y_start: Complexes
    y_end: Complexes
    kind: tuple[str, ...]
    index: Ints
    i_start_ka: Floats
    i_end_ka: Floats
    assumed: Bools

    def labels(self) -> list[str]:
        """What each branch is called, such as "line 3"."""
        return [f"{kind} {index}" for kind, index in zip(self.kind, self.index, strict=True)]


def read_branches(solved: "pandapowerNet", where: str) -> Branches:
    """Read the branches that are in service, with both ends in service."""
    from pandapower.pypower import idx_brch as col

    rows = solved._ppc["branch"]
    nodes = rows[:, [col.F_BUS, col.T_BUS]].real.astype(np.int64)
    kinds = solved._ppc["bus"][:, 1].real
    on = (rows[:, col.BR_STATUS].real != 0.0) & np.all(kinds[nodes] != OUT_OF_SERVICE, axis=1)
    kind, index, i_from, i_to, assumed = _elements(solved, len(rows))
    if np.any(rows[on][:, [col.BR_R_ASYM, col.BR_X_ASYM]] != 0.0):
        bad = int(np.flatnonzero(on & np.any(rows[:, [col.BR_R_ASYM, col.BR_X_ASYM]] != 0, 1))[0])
        raise ModelError(
            f"{where}: {kind[bad]} {index[bad]} has different impedances in its two directions; "
            "make rtf_pu, xtf_pu equal to rft_pu, xft_pu"
        )
    rows, nodes = rows[on], nodes[on]
    charging = rows[:, col.BR_G].real + 1j * rows[:, col.BR_B].real
    skew = rows[:, col.BR_G_ASYM].real + 1j * rows[:, col.BR_B_ASYM].real
    tap = rows[:, col.TAP].real
    tap = np.where(tap == 0.0, 1.0, tap)
    return Branches(
        start=nodes[:, 0],
        end=nodes[:, 1],
        z=rows[:, col.BR_R].real + 1j * rows[:, col.BR_X].real,
        t=tap * np.exp(1j * np.deg2rad(rows[:, col.SHIFT].real)),
        y_start=charging / 2.0 / tap**2,
        y_end=(charging + skew) / 2.0,
        kind=tuple(np.array(kind)[on].tolist()),
        index=index[on],
        i_start_ka=i_from[on],
        i_end_ka=i_to[on],
        assumed=assumed[on],
    )


def _elements(
    solved: "pandapowerNet", n_rows: int
) -> tuple[list[str], Ints, Floats, Floats, Bools]:
    """Kind, index and ratings at both ends [kA] of every row of the internal branch array."""
    kind, index = ["line"] * n_rows, np.zeros(n_rows, dtype=np.int64)
    i_from, i_to = np.full(n_rows, np.nan), np.full(n_rows, np.nan)
    assumed = np.zeros(n_rows, dtype=np.bool_)
    for element, (first, stop) in solved._pd2ppc_lookups["branch"].items():
        labels = solved[element].index.to_numpy()
        if element == "switch":
            labels = labels[np.asarray(solved._impedance_bb_switches, dtype=bool)]
        repeats = 3 if element == "trafo3w" else 1
        kind[first:stop] = [element] * (stop - first)
        index[first:stop] = np.tile(labels, repeats)
        ratings = _ratings(solved, element, labels)
        if ratings is not None:
            i_from[first:stop], i_to[first:stop] = ratings
        if element == "line" and ASSUMED_COLUMN in solved.line.columns:
            assumed[first:stop] = solved.line[ASSUMED_COLUMN].fillna(False).to_numpy(dtype=bool)
    return kind, index, i_from, i_to, assumed


def _ratings(solved: "pandapowerNet", element: str, labels: Ints) -> tuple[Floats, Floats] | None:
    """Ratings of a table's branches at their from and to ends [kA], NaN where there is none."""
    table = solved[element]
    if element == "line":
        single = table["max_i_ka"].to_numpy(dtype=float)
        given = single * (table["df"] * table["parallel"]).to_numpy(dtype=float)
        usable = is_line_rating(single) & (given > 0.0)
        limit = np.where(usable, given, np.nan)
        return limit, limit
    if element == "switch" and "in_ka" in table.columns:
        given = table.loc[labels, "in_ka"].to_numpy(dtype=float)
        limit = np.where(is_line_rating(given), given, np.nan)
        return limit, limit
    if element == "trafo":
        s_mva = table["sn_mva"].to_numpy(dtype=float)
        total = s_mva * (table["df"] * table["parallel"]).to_numpy(dtype=float)
        total = np.where(is_trafo_rating(s_mva), total, np.nan)
        return _amperes(total, table["vn_hv_kv"]), _amperes(total, table["vn_lv_kv"])
    if element == "trafo3w":
        return _star_ratings(solved)
    return None


def _star_ratings(solved: "pandapowerNet") -> tuple[Floats, Floats]:
    """Ratings of the legs of the three-winding transformers: all hv legs, then mv, then lv.

    The star point has the voltage level of the hv winding.
    """
    table = solved.trafo3w
    parts = []
    for side in ("hv", "mv", "lv"):
        s_mva = table[f"sn_{side}_mva"].to_numpy(dtype=float)
        total = np.where(is_trafo_rating(s_mva), s_mva, np.nan)
        parts.append((_amperes(total, table["vn_hv_kv"]), _amperes(total, table[f"vn_{side}_kv"])))
    starts, ends = zip(*parts, strict=True)
    return np.concatenate(starts), np.concatenate(ends)


def _amperes(s_mva: Floats, vn_kv: object) -> Floats:
    return np.asarray(s_mva / (np.sqrt(3.0) * np.asarray(vn_kv, dtype=float)))


def merge_parallel(branches: Branches) -> Branches:
    """Replace branches side by side between the same two buses by their equivalent.

    Only where start, end and transformation are equal, so that the equivalent is exact:
    admittances add up, and the rating is the total current at which the first of them reaches its
    own. The equivalent has the kind and index of the first one. Other pairs are left (a loop).
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for k in range(len(branches.kind)):
        ends: tuple[object, ...] = (int(branches.start[k]), int(branches.end[k]))
        t = complex(np.round(branches.t[k], 12))
        if t == 1.0:
            ends = tuple(sorted((int(branches.start[k]), int(branches.end[k]))))
        mergeable = branches.z[k] != 0.0
        groups.setdefault((*ends, t, -1 if mergeable else k), []).append(k)
    first = np.array([members[0] for members in groups.values()], dtype=np.int64)
    merged = {name: getattr(branches, name)[first].copy() for name in _COLUMNS}
    for row, members in enumerate(groups.values()):
        if len(members) > 1:
            _merge(branches, members, merged, row)
    return Branches(kind=tuple(branches.kind[k] for k in first), **merged)


_COLUMNS = (
    *("start", "end", "z", "t", "y_start", "y_end"),
    *("index", "i_start_ka", "i_end_ka", "assumed"),
)


def _merge(
    branches: Branches, members: list[int], merged: dict[str, NDArray[Any]], row: int
) -> None:
    """Write the equivalent of parallel members into one row."""
    admittance = 1.0 / branches.z[members]
    total = admittance.sum()
    merged["z"][row] = 1.0 / total
    swapped = branches.start[members] != branches.start[members[0]]
    for name, other in (("y_start", "y_end"), ("y_end", "y_start")):
        own, across = getattr(branches, name)[members], getattr(branches, other)[members]
        merged[name][row] = np.where(swapped, across, own).sum()
    share = np.abs(admittance / total)
    for name in ("i_start_ka", "i_end_ka"):  # equal at both ends where members can be swapped
        merged[name][row] = np.min(getattr(branches, name)[members] / share)
    merged["assumed"][row] = bool(np.any(branches.assumed[members]))

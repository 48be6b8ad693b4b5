"""A radial feeder as frozen columns, one row per bus: what every network model here reads.

Row ``i`` describes bus ``i`` and the branch that feeds it, ``parent[i] -> i``::

    parent bus        ideal ratio        series impedance        bus i
    (row parent[i])   ratio[i] : 1       r_pu[i] + j x_pu[i]
        o---------------( )( )----------------[====]---------------o
        |             shift_deg[i]                                 |
      shunt g_sh_pu, b_sh_pu of the parent                  shunt of bus i

Rows are ordered root first, then breadth first, so a parent always comes before its children.
Everything the branch models of pandapower put in parallel with a bus (half the line charging, iron
losses and magnetisation of a transformer, capacitors) is in the bus shunts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peergrid.errors import DataError, ModelError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BRANCH_KINDS = ("line", "trafo", "trafo3w", "switch", "impedance")

_FINITE = ("vn_kv", "g_sh_pu", "b_sh_pu", "p_load_kw", "q_load_kvar")
_FINITE_BRANCH = ("r_pu", "x_pu", "ratio", "shift_deg", "y_parent_pu", "y_child_pu")


@dataclass(frozen=True, kw_only=True, eq=False)
class Feeder:
    """Columns of a radial feeder, all of length n, arrays read-only.

    The branch columns at row 0 (the root has no branch) are unused.

    Parameters
    ----------
    name
        What messages and results call it.
    base_mva
        Base of the per-unit values [MVA]; the base voltage of a bus is its ``vn_kv``.
    bus_id
        Label of each bus, shape (n,): its pandapower index; auxiliary buses (the star point of a
        three-winding transformer, the open end of a switched-off line) have negative labels.
    vn_kv
        Nominal line-to-line voltage [kV], shape (n,).
    parent
        Row of the bus that feeds each bus, shape (n,); -1 for the root, which is row 0.
    r_pu, x_pu
        Series impedance of the branch on the child's base [pu], shape (n,).
    ratio, shift_deg
        Ideal transformation of the branch, shape (n,): without current
        ``V[parent] = ratio * exp(j shift) * V[child]`` [pu, degree]; 1 and 0 for lines.
    branch_kind, branch_index
        Which pandapower element the branch is: one of ``BRANCH_KINDS``, and its index there.
    g_sh_pu, b_sh_pu
        Shunt admittance at each bus [pu], capacitive ``b`` positive, shape (n,).
    p_load_kw, q_load_kvar
        Nominal constant-power net load of each bus (loads minus generation) [kW, kvar], shape (n,).
    slack_vm_pu, slack_va_deg
        Voltage of the root [pu, degree].
    i_max_ka
        Rating of the branch at its child end [kA], shape (n,).
    rating_assumed
        True where the source gave no usable rating and ``i_max_ka`` is assumed, shape (n,).
    i_max_parent_ka
        Rating at the parent end [kA], shape (n,); by default ``i_max_ka`` carried over with the
        nominal voltages. It differs from that where a transformer's rated voltages do.
    y_parent_pu, y_child_pu
        The branch's own share of the bus shunts at its two ends [pu, complex], shape (n,); used
        only to report currents and flows at the terminals as pandapower does. Zero by default.
    bus_map
        Row of every bus label, several labels per row where closed switches fuse buses; by default
        the ``bus_id`` alone.
    """

    name: str
    base_mva: float
    bus_id: Ints
    vn_kv: Floats
    parent: Ints
    r_pu: Floats
    x_pu: Floats
    ratio: Floats
    shift_deg: Floats
    branch_kind: tuple[str, ...]
    branch_index: Ints
    g_sh_pu: Floats
    b_sh_pu: Floats
    p_load_kw: Floats
    q_load_kvar: Floats
    slack_vm_pu: float
    slack_va_deg: float = 0.0
    i_max_ka: Floats
    rating_assumed: Bools
    i_max_parent_ka: Floats = field(default_factory=lambda: np.empty(0))
    y_parent_pu: Complexes = field(default_factory=lambda: np.empty(0, dtype=np.complex128))
    y_child_pu: Complexes = field(default_factory=lambda: np.empty(0, dtype=np.complex128))
    bus_map: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze()
        self._check_columns()
        self._check_tree()
        self._check_values()

    @property
    def n_bus(self) -> int:
        """Number of buses n."""
        return len(self.bus_id)

    @cached_property
    def z_base_ohm(self) -> Floats:
        """Base impedance of each bus [ohm], shape (n,)."""
        return _readonly(self.vn_kv**2 / self.base_mva)

    @cached_property
    def i_base_ka(self) -> Floats:
        """Base current of each bus [kA], shape (n,)."""
        return _readonly(self.base_mva / (np.sqrt(3.0) * self.vn_kv))

    @cached_property
    def i_max_pu(self) -> Floats:
        """Rating of each branch at its child end [pu], shape (n,)."""
        return _readonly(self.i_max_ka / self.i_base_ka)

    @cached_property
    def transformation(self) -> Complexes:
        """Complex ratio from the root to each bus, shape (n,).

        Without current and shunts ``V[i] = V[0] / transformation[i]`` [pu].
        """
        step = self.ratio * np.exp(1j * np.deg2rad(self.shift_deg))
        total = np.ones(self.n_bus, dtype=np.complex128)
        for i in range(1, self.n_bus):
            total[i] = total[self.parent[i]] * step[i]
        return _readonly(total)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Rows fed by each row."""
        fed: list[list[int]] = [[] for _ in range(self.n_bus)]
        for i in range(1, self.n_bus):
            fed[self.parent[i]].append(i)
        return tuple(tuple(rows) for rows in fed)

    @cached_property
    def depth(self) -> Ints:
        """Number of branches between the root and each bus, shape (n,)."""
        depth = np.zeros(self.n_bus, dtype=np.int64)
        for i in range(1, self.n_bus):
            depth[i] = depth[self.parent[i]] + 1
        return _readonly(depth)

    def index_of(self, bus_id: int) -> int:
        """Row of the bus with this label (a bus fused into another has the other's row).

        Raises
        ------
        DataError
            If the feeder has no such bus; the message names the labels it has.
        """
        rows = self.bus_map
        if bus_id not in rows:
            labels = _ranges(sorted(label for label in rows if label >= 0))
            raise DataError(self.name, "bus", bus_id, f"a bus of {self.name}: {labels}")
        return rows[bus_id]

    def row_of_branch(self, kind: str, index: int) -> int:
        """Row of the bus that this branch feeds, such as ``row_of_branch("line", 3)``.

        Raises
        ------
        DataError
            If the feeder has no such branch: it is open, or merged into the one beside it.
        """
        for row in range(1, self.n_bus):
            if self.branch_kind[row] == kind and self.branch_index[row] == index:
                return row
        known = [
            int(i) for k, i in zip(self.branch_kind, self.branch_index, strict=True) if k == kind
        ]
        labels = _ranges(sorted(i for i in known if i >= 0)) or "none there"
        raise DataError(self.name, kind, index, f"a closed {kind} of {self.name}: {labels}")

    def with_slack(self, vm_pu: float) -> Self:
        """The same feeder with another voltage magnitude at the root [pu]."""
        return replace(self, slack_vm_pu=vm_pu)

    def scaled_impedance(self, factor: float) -> Self:
        """The same feeder with all series impedances multiplied: a deliberately wrong model."""
        return replace(self, r_pu=self.r_pu * factor, x_pu=self.x_pu * factor)

    def scaled_branches(self, factors: Floats) -> Self:
        """The same feeder with each branch's series impedance times its factor, shape (n,)."""
        return replace(self, r_pu=self.r_pu * factors, x_pu=self.x_pu * factors)

    def _freeze(self) -> None:
        for name, dtype in _DTYPES.items():
            self._set(name, _column(self.name, name, getattr(self, name), dtype))
        if len(self.i_max_parent_ka) == 0:
            self._set("i_max_parent_ka", _readonly(self._carried_rating()))
        for name in ("y_parent_pu", "y_child_pu"):
            if len(getattr(self, name)) == 0:
                self._set(name, _readonly(np.zeros(self.n_bus, dtype=np.complex128)))
        self._set("branch_kind", tuple(self.branch_kind))
        rows = self.bus_map or {int(label): row for row, label in enumerate(self.bus_id)}
        self._set("bus_map", dict(rows))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _carried_rating(self) -> Floats:
        if not len(self.i_max_ka) == len(self.vn_kv) == len(self.parent):
            return self.i_max_ka.copy()  # the check that follows reports the lengths
        vn_parent = self.vn_kv[np.clip(self.parent, 0, max(self.n_bus - 1, 0))]
        with np.errstate(divide="ignore", invalid="ignore"):  # bad voltages are reported below
            return np.asarray(self.i_max_ka * self.vn_kv / vn_parent)

    def _check_columns(self) -> None:
        n = self.n_bus
        if n == 0:
            raise ModelError(f"{self.name}: a feeder needs at least one bus")
        for name in (*_DTYPES, "branch_kind"):
            length = len(getattr(self, name))
            if length != n:
                raise DataError(self.name, name, f"{length} values", f"{n}, one per bus")
        for name, first in [(f, 0) for f in _FINITE] + [(f, 1) for f in _FINITE_BRANCH]:
            values = getattr(self, name)
            bad = np.flatnonzero(~np.isfinite(values[first:])) + first
            if len(bad):
                where = f"{name} of bus {self.bus_id[bad[0]]}"
                raise DataError(self.name, where, values[bad[0]].item(), "a finite number")
        if len(np.unique(self.bus_id)) != n:
            labels, counts = np.unique(self.bus_id, return_counts=True)
            raise DataError(self.name, "bus_id", int(labels[counts > 1][0]), "each label once")

    def _check_tree(self) -> None:
        if self.parent[0] != -1:
            raise DataError(self.name, "parent[0]", int(self.parent[0]), "-1: row 0 is the root")
        for i in range(1, self.n_bus):
            if not 0 <= self.parent[i] < i:
                where = f"parent of bus {self.bus_id[i]}"
                raise DataError(self.name, where, int(self.parent[i]), f"a row from 0 to {i - 1}")
        for label, row in self.bus_map.items():
            if not 0 <= row < self.n_bus:
                raise DataError(self.name, f"bus_map[{label}]", row, f"0 to {self.n_bus - 1}")

    def _check_values(self) -> None:
        scalars = {"base_mva": self.base_mva, "slack_vm_pu": self.slack_vm_pu}
        for name, value in scalars.items():
            if not (np.isfinite(value) and value > 0.0):
                raise DataError(self.name, name, value, "a positive number")
        self._refuse("vn_kv", self.vn_kv <= 0.0, "a positive number")
        branches = np.arange(self.n_bus) > 0
        self._refuse("ratio", branches & (self.ratio <= 0.0), "a positive number")
        self._refuse("i_max_ka", branches & ~(self.i_max_ka > 0.0), "a positive number")
        star = np.array([kind == "trafo3w" for kind in self.branch_kind])
        # the star equivalent of a three-winding transformer may have a negative leg
        self._refuse("r_pu", branches & ~star & (self.r_pu < 0.0), "zero or positive")
        for kind in self.branch_kind[1:]:
            if kind not in BRANCH_KINDS:
                raise DataError(self.name, "branch_kind", kind, ", ".join(BRANCH_KINDS))

    def _refuse(self, name: str, bad: Bools, allowed: str) -> None:
        rows = np.flatnonzero(bad)
        if len(rows):
            where = f"{name} of bus {self.bus_id[rows[0]]}"
            raise DataError(self.name, where, float(getattr(self, name)[rows[0]]), allowed)


_DTYPES: dict[str, type[np.generic]] = {
    "bus_id": np.int64,
    "vn_kv": np.float64,
    "parent": np.int64,
    "r_pu": np.float64,
    "x_pu": np.float64,
    "ratio": np.float64,
    "shift_deg": np.float64,
    "branch_index": np.int64,
    "g_sh_pu": np.float64,
    "b_sh_pu": np.float64,
    "p_load_kw": np.float64,
    "q_load_kvar": np.float64,
    "i_max_ka": np.float64,
    "rating_assumed": np.bool_,
    "i_max_parent_ka": np.float64,
    "y_parent_pu": np.complex128,
    "y_child_pu": np.complex128,
}


def _readonly(values: NDArray[Any]) -> NDArray[Any]:
    values.setflags(write=False)
    return values


def _column(feeder: str, name: str, values: ArrayLike, dtype: type[np.generic]) -> NDArray[Any]:
    try:
        column = np.array(values, dtype=dtype)
    except (TypeError, ValueError):
        raise DataError(feeder, name, values, "a column of numbers") from None
    if column.ndim != 1:
        raise DataError(feeder, name, f"array of shape {column.shape}", "shape (n,)")
    return _readonly(column)


def _ranges(labels: list[int]) -> str:
    """Labels in words, runs shortened.

    >>> _ranges([1, 2, 3, 7, 9, 10])
    '1 to 3, 7, 9 to 10'
    """
    runs: list[list[int]] = []
    for label in labels:
        if runs and label == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], label]
        else:
            runs.append([label])
    return ", ".join(" to ".join(map(str, run)) for run in runs)

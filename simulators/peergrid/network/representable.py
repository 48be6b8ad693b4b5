"""What a radial, balanced, constant-power feeder cannot represent: refused, element by element."""

from typing import TYPE_CHECKING

import numpy as np

from peergrid.errors import DataError, ModelError

if TYPE_CHECKING:
    import pandas as pd
    from pandapower import pandapowerNet

_PV = "replace it by an sgen with its P and Q (a feeder holds no voltage-controlled bus)"
_BALANCED = "replace it by a balanced load or sgen (feeders are balanced)"
_AC_ONLY = "remove it or model what it feeds as a load or sgen (feeders are passive and AC)"

# table -> (column of its AC bus, or "" if it has none, and what the user can do)
REFUSED = {
    "gen": ("bus", _PV),
    "xward": ("bus", "replace it by a ward or a load (its voltage source cannot be represented)"),
    "dcline": ("from_bus", _AC_ONLY),
    "svc": ("bus", _AC_ONLY),
    "ssc": ("bus", _AC_ONLY),
    "tcsc": ("from_bus", _AC_ONLY),
    "vsc": ("bus", _AC_ONLY),
    "b2b_vsc": ("bus", _AC_ONLY),
    "line_dc": ("", _AC_ONLY),
    "load_dc": ("", _AC_ONLY),
    "source_dc": ("", _AC_ONLY),
    "asymmetric_load": ("bus", _BALANCED),
    "asymmetric_sgen": ("bus", _BALANCED),
}
_VOLTAGE_SHARES = (
    "const_z_percent",
    "const_i_percent",
    "const_z_p_percent",
    "const_i_p_percent",
    "const_z_q_percent",
    "const_i_q_percent",
)
# table -> (columns that name a bus, columns that must hold finite numbers)
_NEEDED = {
    "bus": ((), ("vn_kv",)),
    "ext_grid": (("bus",), ("vm_pu",)),
    "line": (
        ("from_bus", "to_bus"),
        ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km", "parallel"),
    ),
    "trafo": (("hv_bus", "lv_bus"), ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "pfe_kw")),
    "trafo3w": (("hv_bus", "mv_bus", "lv_bus"), ()),
    "impedance": (("from_bus", "to_bus"), ("rft_pu", "xft_pu", "sn_mva")),
    "load": (("bus",), ("p_mw", "q_mvar", "scaling")),
    "sgen": (("bus",), ("p_mw", "q_mvar", "scaling")),
    "storage": (("bus",), ("p_mw", "q_mvar", "scaling")),
    "shunt": (("bus",), ("p_mw", "q_mvar", "step")),
    "switch": (("bus",), ()),
}
_POSITIVE = ("vn_kv", "vn_hv_kv", "vn_lv_kv", "sn_mva", "parallel")
# tables whose power is lost where their bus is islanded
POWER_TABLES = ("load", "sgen", "storage", "motor", "ward")


def active(net: "pandapowerNet", table: str, bus_column: str = "bus") -> "pd.DataFrame":
    """Rows of a table that are in service at a bus that is in service."""
    import pandas as pd

    if table not in net or not isinstance(net[table], pd.DataFrame):
        return pd.DataFrame()
    rows: pd.DataFrame = net[table]
    if "in_service" in rows.columns:
        rows = rows[rows["in_service"].astype(bool)]
    if bus_column and bus_column in rows.columns:
        on = net.bus.index[net.bus["in_service"].astype(bool)]
        rows = rows[rows[bus_column].isin(on)]
    return rows


def check_elements(net: "pandapowerNet", where: str) -> None:
    """Refuse what a feeder cannot represent.

    Raises
    ------
    DataError
        If an element is at a bus that does not exist, or lacks a number.
    ModelError
        Names the first offending element, its index, and what to do.
    """
    for table, (buses, numbers) in _NEEDED.items():
        _check_table(net, table, buses, numbers, where)
    for table, (bus_column, advice) in REFUSED.items():
        rows = active(net, table, bus_column)
        if len(rows):
            raise ModelError(f"{where}: {table} {rows.index[0]} cannot be represented; {advice}")
    _check_slack(net, where)
    _check_loads(net, where)


def _check_table(
    net: "pandapowerNet",
    table: str,
    buses: tuple[str, ...],
    numbers: tuple[str, ...],
    where: str,
) -> None:
    """Refuse rows in service that name a missing bus, or hold no number where one is needed."""
    import pandas as pd

    rows = active(net, table, "")
    for column in (*buses, *numbers):
        if column not in rows.columns:
            if len(rows):
                raise DataError(where, f"{table}.{column}", None, "a column of numbers")
            continue
        if column in buses:
            bad = ~rows[column].isin(net.bus.index)
            allowed = "the index of a bus"
        else:
            values = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=float)
            positive = column in _POSITIVE
            bad = pd.Series(~(np.isfinite(values) & ((values > 0.0) | (not positive))), rows.index)
            allowed = "a positive number" if positive else "a finite number"
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            value = rows[column].tolist()[first]
            raise DataError(where, f"{table} {rows.index[first]} {column}", value, allowed)


def _check_slack(net: "pandapowerNet", where: str) -> None:
    slacks = active(net, "ext_grid")
    if len(slacks) == 0:
        raise ModelError(f"{where}: no ext_grid is in service; add one at the head of the feeder")
    if len(slacks) > 1:
        names = ", ".join(str(i) for i in slacks.index)
        raise ModelError(
            f"{where}: ext_grid {names} are all in service; keep one (a feeder has one source)"
        )


def _check_loads(net: "pandapowerNet", where: str) -> None:
    loads = active(net, "load")
    for column in _VOLTAGE_SHARES:
        if column not in loads.columns:
            continue
        shares = np.nan_to_num(loads[column].to_numpy(dtype=float))
        if np.any(shares != 0.0):
            index = loads.index[int(np.flatnonzero(shares)[0])]
            raise ModelError(
                f"{where}: load {index} has {column} = {shares[np.flatnonzero(shares)[0]]:g}; "
                "set it to 0 or use a shunt (feeders hold constant-power loads)"
            )


def check_islands(net: "pandapowerNet", islanded: set[int], where: str) -> None:
    """Refuse power at buses that are in service and have no path to the source.

    Raises
    ------
    ModelError
        Names the bus and the element.
    """
    for table in POWER_TABLES:
        rows = active(net, table)
        if not len(rows):
            continue
        p, q = {"ward": ("ps_mw", "qs_mvar"), "motor": ("pn_mech_mw", "pn_mech_mw")}.get(
            table, ("p_mw", "q_mvar")
        )
        carries = (rows[p] != 0.0) | (rows[q] != 0.0)
        stranded = rows[carries & rows["bus"].isin(islanded)]
        if len(stranded):
            raise ModelError(
                f"{where}: bus {int(stranded['bus'].iloc[0])} is islanded and {table} "
                f"{stranded.index[0]} is connected to it; close a switch to it, or take the "
                f"{table} or the bus out of service"
            )

"""Hypothesis strategies that several test modules share: random radial feeders and nets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
from hypothesis import strategies as st

from peergrid.network.feeder import Feeder, Floats

Draw = Callable[[st.SearchStrategy[Any]], Any]
EDGES = ("line", "dead_line", "tie", "trafo", "fused", "impedance_switch", "impedance", "trafo3w")


def _between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(0, 1000).map(lambda k: low + (high - low) * k / 1000.0)


@st.composite
def radial_feeders(
    draw: Draw,
    *,
    max_bus: int = 12,
    transformers: bool = True,
    shunts: bool = True,
    generation: bool = True,
) -> Feeder:
    """A random ``Feeder`` whose nominal load always has a power flow solution."""
    n = draw(st.integers(2, max_bus))
    base_mva = draw(st.sampled_from([0.1, 1.0, 10.0]))

    def column(low: float, high: float) -> Floats:
        return np.array(draw(st.lists(_between(low, high), min_size=n, max_size=n)))

    # with these bounds the voltage drop along the longest path stays below 0.1 pu
    low = -1.0 if generation else 0.0
    return Feeder(
        name="random",
        base_mva=base_mva,
        bus_id=100 + np.arange(n),
        vn_kv=np.full(n, draw(st.sampled_from([0.4, 12.66, 20.0]))),
        parent=_breadth_first_parents(draw, n),
        r_pu=column(0.001, 0.05) / n,
        x_pu=column(0.001, 0.05) / n,
        ratio=column(0.95, 1.05) if transformers else np.ones(n),
        shift_deg=30.0 * np.round(column(-6.0, 6.0)) if transformers else np.zeros(n),
        branch_kind=("trafo" if transformers else "line",) * n,
        branch_index=np.arange(n) - 1,
        g_sh_pu=column(0.0, 0.01) if shunts else np.zeros(n),
        b_sh_pu=column(-0.05, 0.05) if shunts else np.zeros(n),
        p_load_kw=column(100.0 * low, 100.0) * base_mva,
        q_load_kvar=column(50.0 * low, 50.0) * base_mva,
        slack_vm_pu=draw(_between(0.95, 1.06)),
        i_max_ka=np.full(n, 0.4),
        rating_assumed=np.zeros(n, dtype=bool),
    )


def _breadth_first_parents(draw: Draw, n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Parents that never decrease, so the order is breadth first."""
    parents = [-1]
    for i in range(1, n):
        parents.append(draw(st.integers(max(parents[-1], 0), i - 1)))
    return np.array(parents)


@st.composite
def radial_nets(draw: Draw, *, max_edges: int = 7) -> pp.pandapowerNet:
    """A random radial pandapower net with everything that ``from_pandapower`` represents.

    Its edges are drawn from ``EDGES``, each at a random bus and in a random direction; loads,
    generation, wards and shunts are small enough for a solution to exist.
    """
    net = pp.create_empty_network(sn_mva=draw(st.sampled_from([1.0, 0.5, 10.0])))
    first = pp.create_bus(net, 20.0, index=draw(st.integers(0, 9)))
    pp.create_ext_grid(net, first, vm_pu=draw(_between(0.97, 1.05)), va_degree=draw(_between(0, 9)))
    net.user_pf_options = {"trafo_model": draw(st.sampled_from(["t", "pi"]))}
    for kind in ("line", *draw(st.lists(st.sampled_from(EDGES), max_size=max_edges))):
        at = draw(st.sampled_from(net.bus.index[net.bus.in_service].tolist()))
        _ADD[kind](draw, net, at)
    for bus in net.bus.index:
        _add_power(draw, net, bus)
    return net


def _ends(draw: Draw, a: int, b: int) -> tuple[int, int]:
    return (a, b) if draw(st.booleans()) else (b, a)


def _bus_like(net: pp.pandapowerNet, at: int) -> int:
    return int(pp.create_bus(net, net.bus.at[at, "vn_kv"]))


def _is_mv(net: pp.pandapowerNet, at: int) -> bool:
    return bool(net.bus.at[at, "vn_kv"] > 1.0)


def _line(draw: Draw, net: pp.pandapowerNet, a: int, b: int) -> int:
    """A line with charging, whose impedance suits the voltage level."""
    level = 1.0 if _is_mv(net, a) else 0.02
    return int(
        pp.create_line_from_parameters(
            net,
            *_ends(draw, a, b),
            length_km=draw(_between(0.05, 2.0)) * level,
            r_ohm_per_km=draw(_between(0.05, 0.6)),
            x_ohm_per_km=draw(_between(0.05, 0.4)),
            c_nf_per_km=draw(_between(0.0, 400.0)),
            g_us_per_km=draw(_between(0.0, 5.0)),
            max_i_ka=draw(st.sampled_from([0.2, 0.421, 0.0, 99999.0])),
            df=draw(st.sampled_from([1.0, 0.8])),
            parallel=draw(st.integers(1, 2)),
        )
    )


def _add_line(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    _line(draw, net, at, _bus_like(net, at))


def _add_dead_line(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    """A line that ends at an open switch, or at a bus out of service."""
    far = _bus_like(net, at)
    line = _line(draw, net, at, far)
    net.bus.at[far, "in_service"] = False
    if draw(st.booleans()):
        pp.create_switch(net, far, line, et="l", closed=False)


def _add_tie(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    """A line back to the root that is open at one end, or out of service."""
    root = int(net.ext_grid.bus.iloc[0])
    if at == root or net.bus.at[at, "vn_kv"] != 20.0:
        return
    line = _line(draw, net, root, at)
    if draw(st.booleans()):
        pp.create_switch(net, draw(st.sampled_from([root, at])), line, et="l", closed=False)
    else:
        net.line.at[line, "in_service"] = False


def _add_trafo(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    """A transformer to or from 0.4 kV, either side at the existing bus, with a tap changer."""
    down = _is_mv(net, at)
    other = pp.create_bus(net, 0.4 if down else 20.0)
    hv, lv = (at, other) if down else (other, at)
    changer = draw(st.sampled_from(["Ratio", "Symmetrical", "Ideal", None]))
    step = {"tap_step_percent": 2.5, "tap_step_degree": draw(st.sampled_from([0.0, 60.0]))}
    if changer == "Ideal":
        step = {"tap_step_degree": 2.0}
    trafo = pp.create_transformer_from_parameters(
        net,
        hv,
        lv,
        sn_mva=0.63,
        vn_hv_kv=net.bus.at[hv, "vn_kv"] * draw(st.sampled_from([1.0, 1.05])),
        vn_lv_kv=draw(st.sampled_from([0.4, 0.41])),
        vkr_percent=draw(_between(0.5, 1.5)),
        vk_percent=draw(_between(2.0, 6.0)),
        pfe_kw=draw(_between(0.0, 2.0)),
        i0_percent=draw(_between(0.0, 1.0)),
        shift_degree=draw(st.sampled_from([0.0, 150.0])),
        tap_side=draw(st.sampled_from(["hv", "lv"])),
        tap_neutral=0,
        tap_min=-2,
        tap_max=2,
        tap_pos=draw(st.integers(-2, 2)),
        tap_changer_type=changer,
        parallel=draw(st.integers(1, 2)),
        **step,
    )
    if draw(st.integers(0, 9)) == 0:
        pp.create_switch(net, other, trafo, et="t", closed=False)
        net.bus.at[other, "in_service"] = False


def _add_fused(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    pp.create_switch(net, *_ends(draw, at, _bus_like(net, at)), et="b", closed=True)


def _add_impedance_switch(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    ends = _ends(draw, at, _bus_like(net, at))
    pp.create_switch(net, *ends, et="b", closed=True, z_ohm=0.02 if _is_mv(net, at) else 0.001)


def _add_impedance(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    ends = _ends(draw, at, _bus_like(net, at))
    pp.create_impedance(net, *ends, rft_pu=0.001, xft_pu=draw(_between(0.001, 0.003)), sn_mva=1.0)


def _add_trafo3w(draw: Draw, net: pp.pandapowerNet, at: int) -> None:
    if net.bus.at[at, "vn_kv"] != 20.0:
        return
    pp.create_transformer3w_from_parameters(
        net,
        at,
        pp.create_bus(net, 10.0),
        pp.create_bus(net, 0.4),
        vn_hv_kv=20.0,
        vn_mv_kv=10.5,
        vn_lv_kv=0.4,
        sn_hv_mva=2.0,
        sn_mv_mva=1.6,
        sn_lv_mva=0.6,
        vk_hv_percent=6.0,
        vk_mv_percent=5.0,
        vk_lv_percent=4.0,
        vkr_hv_percent=0.6,
        vkr_mv_percent=0.5,
        vkr_lv_percent=0.7,
        pfe_kw=1.5,
        i0_percent=0.3,
        shift_mv_degree=draw(st.sampled_from([0.0, 30.0])),
        shift_lv_degree=draw(st.sampled_from([0.0, 150.0])),
        tap_side=draw(st.sampled_from(["hv", "mv", "lv"])),
        tap_neutral=0,
        tap_min=-2,
        tap_max=2,
        tap_pos=draw(st.integers(-2, 2)),
        tap_step_percent=1.5,
        tap_changer_type="Ratio",
    )


def _add_power(draw: Draw, net: pp.pandapowerNet, bus: int) -> None:
    """Something that draws, feeds or compensates at a bus, small enough to be carried."""
    p = draw(_between(0.0, 0.03)) * (1.0 if _is_mv(net, bus) else 0.5)
    kind = draw(st.sampled_from(["load", "sgen", "storage", "ward", "shunt", "motor", "none"]))
    if kind == "load":
        pp.create_load(net, bus, p_mw=p, q_mvar=p / 3, scaling=draw(_between(0.5, 1.0)))
        pp.create_load(net, bus, p_mw=9.0, in_service=False)
    elif kind == "sgen":
        pp.create_sgen(net, bus, p_mw=p, q_mvar=-p / 4, scaling=0.9)
    elif kind == "storage":
        pp.create_storage(net, bus, p_mw=-p, max_e_mwh=1.0, q_mvar=p / 5)
    elif kind == "ward":
        pp.create_ward(net, bus, ps_mw=p / 2, qs_mvar=p / 4, pz_mw=p / 2, qz_mvar=-p / 3)
    elif kind == "shunt":
        pp.create_shunt(net, bus, q_mvar=-p, p_mw=p / 10, step=2)
    elif kind == "motor":
        pp.create_motor(net, bus, pn_mech_mw=p, cos_phi=0.9, efficiency_percent=90.0)


_ADD: dict[str, Callable[[Draw, pp.pandapowerNet, int], None]] = {
    "line": _add_line,
    "dead_line": _add_dead_line,
    "tie": _add_tie,
    "trafo": _add_trafo,
    "fused": _add_fused,
    "impedance_switch": _add_impedance_switch,
    "impedance": _add_impedance,
    "trafo3w": _add_trafo3w,
}

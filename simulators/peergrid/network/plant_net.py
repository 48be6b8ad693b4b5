"""The net of a plant: a user's net without the power that the plant is given hour by hour."""

import copy
import zlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from peergrid.errors import DataError, ModelError
from peergrid.network.feeder import Bools, Floats
from peergrid.network.pandapower_branches import ASSUMED_COLUMN
from peergrid.network.ratings import assumed_rating_ka, is_line_rating
from peergrid.network.representable import REFUSED, active

if TYPE_CHECKING:
    import pandas as pd
    from pandapower import pandapowerNet

# what the inputs of the plant replace; a ward keeps its constant-impedance part
OWNED_TABLES = ("load", "sgen", "storage", "motor")
# columns that are proportional to a series impedance
_IMPEDANCES = {
    "line": ("r_ohm_per_km", "x_ohm_per_km"),
    "trafo": ("vk_percent", "vkr_percent"),
    "trafo3w": tuple(f"{v}_{side}_percent" for v in ("vk", "vkr") for side in ("hv", "mv", "lv")),
    "impedance": ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu"),
    "trafo_characteristic_table": ("vk_percent", "vkr_percent"),
}
LEAST_LINE_FACTOR = 0.5  # a line is not built at less than half the length that is on record
_UNUSABLE = (UserWarning, ValueError, KeyError, FloatingPointError, NotImplementedError)


@dataclass(frozen=True, kw_only=True, eq=False)
class BusPower:
    """Load and generation of each bus [MW, MVar], arrays of shape (n_bus,)."""

    p_load_mw: Floats
    q_load_mvar: Floats
    p_gen_mw: Floats
    q_gen_mvar: Floats

    @classmethod
    def zeros(cls, n_bus: int) -> Self:
        """No load and no generation anywhere, arrays that may be written."""
        return cls(**{field.name: np.zeros(n_bus) for field in fields(cls)})


def nominal_power(net: "pandapowerNet") -> BusPower:
    """What a net's own loads, motors, wards and static generators draw and feed in, by bus.

    Scaling and ``in_service`` count. Storage units have no nominal power.
    """
    nominal = BusPower.zeros(len(net.bus))
    load = (nominal.p_load_mw, nominal.q_load_mvar)
    generation = (nominal.p_gen_mw, nominal.q_gen_mvar)
    for table, into in (("load", load), ("sgen", generation)):
        rows = active(net, table)
        if len(rows):
            scaling = rows["scaling"]
            _add_at_buses(net, rows, into, rows["p_mw"] * scaling, rows["q_mvar"] * scaling)
    wards = active(net, "ward")
    if len(wards):
        _add_at_buses(net, wards, load, wards["ps_mw"], wards["qs_mvar"])
    motors = active(net, "motor")
    if len(motors):
        share = motors["scaling"] * motors["loading_percent"] / motors["efficiency_percent"]
        p_mw = motors["pn_mech_mw"] * share
        q_mvar = p_mw * np.tan(np.arccos(motors["cos_phi"]))
        _add_at_buses(net, motors, load, p_mw, q_mvar)
    return nominal


def _add_at_buses(
    net: "pandapowerNet",
    rows: "pd.DataFrame",
    into: tuple[Floats, Floats],
    p_mw: "pd.Series[float]",
    q_mvar: "pd.Series[float]",
) -> None:
    at = net.bus.index.get_indexer(rows["bus"])
    np.add.at(into[0], at, p_mw.to_numpy(dtype=float))
    np.add.at(into[1], at, q_mvar.to_numpy(dtype=float))


def line_ratings(net: "pandapowerNet") -> tuple[Floats, Bools]:
    """Rating of each line [kA], and whether it is assumed, both of shape (n_line,).

    A line without a usable ``max_i_ka`` gets the smallest standard current that suits its current
    under the net's own load (see :mod:`peergrid.network.ratings`).
    """
    import pandapower
    from pandapower.auxiliary import LoadflowNotConverged

    line = net.line
    given = line["max_i_ka"].to_numpy(dtype=float)
    rating = given * (line["df"] * line["parallel"]).to_numpy(dtype=float)
    missing = ~is_line_rating(given) | ~(rating > 0.0)
    if np.any(missing):
        base_case = copy.deepcopy(net)
        current = np.zeros(len(line))
        try:
            pandapower.runpp(base_case, numba=False)
            current = base_case.res_line["i_ka"].to_numpy(dtype=float)
        except (LoadflowNotConverged, *_UNUSABLE):
            pass  # the smallest rating then; a net that cannot be built is reported by run_empty
        rating[missing] = assumed_rating_ka(current)[missing]
    marked = np.zeros(len(line), dtype=np.bool_)
    if ASSUMED_COLUMN in line.columns:
        marked = line[ASSUMED_COLUMN].fillna(False).to_numpy(dtype=bool)
    return rating, missing | marked


def plant_net(
    net: "pandapowerNet", *, slack_vm_pu: float | None = None, impedance_scale: float = 1.0
) -> "pandapowerNet":
    """A copy of the net with one load and one static generator of zero at each bus, and no others.

    With the plant's impedances and slack voltage.
    """
    import pandapower

    plant = copy.deepcopy(net)
    for table in OWNED_TABLES:
        plant[table] = plant[table].iloc[:0]
    pandapower.create_loads(plant, plant.bus.index, 0.0)
    pandapower.create_sgens(plant, plant.bus.index, 0.0)
    plant.ward[["ps_mw", "qs_mvar"]] = 0.0
    if slack_vm_pu is not None:
        plant.ext_grid["vm_pu"] = float(slack_vm_pu)
    for table, columns in _IMPEDANCES.items():
        for column in columns:
            if impedance_scale != 1.0 and table in plant and column in plant[table].columns:
                plant[table][column] *= impedance_scale
    return plant


def varied_lines(net: "pandapowerNet", spread: float, seed: int) -> "pandapowerNet":
    """The net with a factor of its own on every line's series impedance.

    Ratings that nobody gave are settled first, from the net as it was, so they do not depend on
    the factors. Transformers stay as they are.

    Parameters
    ----------
    net
        The net; it is copied if it changes.
    spread
        Standard deviation of the factors around one; no factor is below ``LEAST_LINE_FACTOR``.
    seed
        Of the factors: the same seed and net give the same plant wherever it is built.
    """
    if spread == 0.0:
        return net
    varied = copy.deepcopy(net)
    lines = varied.line
    rating, assumed = line_ratings(net)
    lines["max_i_ka"] = rating / (lines["df"] * lines["parallel"]).to_numpy(dtype=float)
    lines[ASSUMED_COLUMN] = assumed
    key = (zlib.crc32(b"line impedances"),)  # a stream apart from all others of the same seed
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    factors = np.maximum(1.0 + spread * rng.standard_normal(len(lines)), LEAST_LINE_FACTOR)
    for column in _IMPEDANCES["line"]:
        lines[column] *= factors
    return varied


def run_empty(net: "pandapowerNet", where: str) -> None:
    """Run pandapower on a net without load: its internal arrays, options and shunt results.

    Raises
    ------
    ModelError
        If pandapower cannot build or solve it.
    """
    import pandapower
    from pandapower.auxiliary import LoadflowNotConverged

    try:
        pandapower.runpp(net, numba=False)
    except LoadflowNotConverged as error:
        raise ModelError(f"{where}: no power flow solution even without load") from error
    except _UNUSABLE as error:
        raise ModelError(f"{where}: pandapower cannot build the network: {error}") from error


def check_plant_values(
    where: str, slack_vm_pu: float | None = None, impedance_scale: float = 1.0
) -> None:
    """Refuse a slack voltage or a factor that is no positive number."""
    given = {"slack_vm_pu": slack_vm_pu, "impedance_scale": impedance_scale}
    for field, value in given.items():
        if value is None and field == "slack_vm_pu":
            continue
        usable = isinstance(value, int | float) and np.isfinite(value) and value > 0.0
        if not usable:
            raise DataError(where, field, value, "a positive number")


def check_spread(where: str, spread: object, seed: object) -> None:
    """Refuse a spread that is negative or no number, and a seed that is no whole number."""
    if not (isinstance(spread, int | float) and np.isfinite(spread) and spread >= 0.0):
        raise DataError(where, "impedance_spread", spread, "a number, zero or more")
    if not (isinstance(seed, int) and seed >= 0):
        raise DataError(where, "seed", seed, "a whole number, zero or more")


def check_net(net: object) -> None:
    """Refuse what is no pandapower net, or holds something the plant does not model.

    Raises
    ------
    DataError
        If it is no pandapower net.
    ModelError
        Names the element and says what to do.
    """
    import pandapower

    if not isinstance(net, pandapower.pandapowerNet):
        raise DataError("Grid", "net", type(net).__name__, "a pandapowerNet")
    where = str(net.name or "net")
    for table, (bus_column, advice) in REFUSED.items():
        rows = active(net, table, bus_column)
        if table != "gen" and len(rows):
            raise ModelError(f"{where}: {table} {rows.index[0]} cannot be modelled; {advice}")
    if len(active(net, "ext_grid")) == 0:
        raise ModelError(f"{where}: no ext_grid is in service; add one at the head of the feeder")

"""Loads of the buses of a feeder, from measured profiles, a standard profile, or a user's CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.load_shapes import Shapes, bdew_h25, simbench, simbench_year
from peergrid.inputs.series import column_on, read_table
from peergrid.inputs.span import Span, positions, resample
from peergrid.inputs.tables import stream

Array = NDArray[np.float64]

HOME_KW = 2.5
"""Nominal power that one household adds to a bus [kW]."""

BUSINESS_SHARE = 0.2
"""Mean share of a bus's energy that follows a business shape."""

_BETA = 10.0  # a + b of the Beta distribution of the business share
_PEAK = 0.999  # quantile of the year that equals the nominal power


@dataclass(frozen=True, kw_only=True, eq=False)
class BusLoads:
    """Loads of n buses; power has shape (n, T), load positive.

    ``n_homes`` (n,) is the number of households behind each bus (0 without load): the relative
    forecast error falls with it. ``mean_kw`` (n,) is the mean of the whole data year.
    """

    p_kw: Array
    q_kvar: Array
    n_homes: NDArray[np.int64]
    mean_kw: Array
    source: str


@dataclass(frozen=True, kw_only=True)
class LoadRule:
    """How a bus is made of shapes; the rule and its numbers are assumptions of this package.

    Parameters
    ----------
    home_kw
        Nominal power of a household [kW]: a bus of P kW has round(P / home_kw), at least one.
    business_share
        Mean share of energy with a business shape, drawn per bus from a Beta distribution.
    q_rule
        ``power_factor``: q = p * q_nom / p_nom in every hour, as reference feeders state it.
        ``simbench``: measured reactive shapes of the same households, so that nominal P and Q
        relate as on the bus; household Q is then far below the nominal ratio in most hours.
    """

    home_kw: float = HOME_KW
    business_share: float = BUSINESS_SHARE
    q_rule: Literal["power_factor", "simbench"] = "power_factor"

    def __post_init__(self) -> None:
        if not self.home_kw > 0.0:
            raise DataError("load rule", "home_kw", self.home_kw, "above 0 kW")
        if not 0.0 <= self.business_share < 1.0:
            raise DataError("load rule", "business_share", self.business_share, "0 to below 1")
        if self.q_rule not in {"power_factor", "simbench"}:
            raise DataError("load rule", "q_rule", self.q_rule, "power_factor or simbench")


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadProfiles:
    """Shapes of a data year, and the rule that composes buses from them."""

    shapes: Shapes
    rule: LoadRule

    @classmethod
    def simbench(cls, rule: LoadRule | None = None) -> "LoadProfiles":
        """Measured shapes of 2016 (SimBench, ODbL 1.0)."""
        return cls(shapes=simbench(), rule=rule or LoadRule())

    def for_buses(
        self,
        p_nom_kw: Array,
        q_nom_kvar: Array,
        *,
        seed: int,
        bus_ids: Sequence[int] | None = None,
    ) -> BusLoads:
        """Loads of the whole data year (2016 in Europe/Berlin, 8784 h).

        A bus is the sum of its households, each one of five measured shapes shifted by -3 to +3
        whole weeks (in local time, round the year), and one business shape; scaled so that the
        99.9 % quantile is ``p_nom_kw``. A bus draws from its own random stream, so its load
        depends on the seed, its number and its nominal power only. A bus without P has constant
        ``q_nom_kvar``; one without either stays zero.

        Parameters
        ----------
        p_nom_kw, q_nom_kvar
            Nominal load of each bus, shape (n,).
        seed
            Root of the random streams.
        bus_ids
            Number of each bus, 0 to n - 1 if absent.
        """
        p_nom, q_nom, ids = _checked_buses(p_nom_kw, q_nom_kvar, bus_ids)
        n_homes = np.where(p_nom > 0, np.maximum(np.rint(p_nom / self.rule.home_kw), 1), 0)
        p = np.zeros((len(ids), self.shapes.n_hours))
        q = np.repeat(q_nom[:, None], self.shapes.n_hours, axis=1)
        for row in np.flatnonzero(p_nom > 0.0):
            rng = stream(seed, "loads", ids[row])
            p[row], q_shape = self._mix(int(n_homes[row]), rng)
            p[row] *= p_nom[row] / np.quantile(p[row], _PEAK)
            if self.rule.q_rule == "power_factor":
                q[row] = p[row] * (q_nom[row] / p_nom[row])
            else:
                q[row] = q_shape * p[row].mean() * (q_nom[row] / p_nom[row])
        return BusLoads(
            p_kw=p,
            q_kvar=q,
            n_homes=n_homes.astype(np.int64),
            mean_kw=p.mean(axis=1),
            source=self.shapes.source,
        )

    def _mix(self, n_homes: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """P and Q of one bus, both per mean P (Q also per nominal Q over nominal P), (T,)."""
        shapes = self.shapes
        kinds = len(shapes.homes_p)
        count = rng.multinomial(n_homes, np.full(kinds, 1.0 / kinds)) / n_homes
        share, business = self._business(rng)
        homes = count @ shapes.homes_p
        p = (1.0 - share) * homes / homes.mean() + share * shapes.business_p[business]
        homes_q = count @ shapes.homes_q / homes.mean()
        return p, (1.0 - share) * homes_q + share * shapes.business_q[business]

    def _business(self, rng: np.random.Generator) -> tuple[float, int]:
        mean = self.rule.business_share
        share = float(rng.beta(_BETA * mean, _BETA * (1.0 - mean))) if mean > 0.0 else 0.0
        return share, int(rng.integers(len(self.shapes.business_p)))


def bus_loads(
    spec: str,
    p_nom_kw: Array,
    q_nom_kvar: Array,
    span: Span,
    *,
    seed: int = 0,
    bus_ids: Sequence[int] | None = None,
    rule: LoadRule | None = None,
    base_dir: str | Path = ".",
) -> BusLoads:
    """Loads of n buses on the steps of a span.

    Parameters
    ----------
    spec
        ``simbench``: differing measured loads (2016 only, Europe/Berlin). ``bdew``: the German
        standard household profile H25 on every bus (any year, light). Or a CSV file with the
        columns ``bus_<id> [kW]`` and, if wanted, ``bus_<id> [kvar]``; a bus without a P column
        has no load, one without a Q column keeps its nominal power factor.
    p_nom_kw, q_nom_kvar
        Nominal load of each bus, shape (n,). A CSV file states P itself.
    span
        The steps wanted; longer steps get the mean, shorter ones the hour's mean.
    seed, bus_ids, rule
        See :meth:`LoadProfiles.for_buses`; ``bus_ids`` also name the CSV's columns.
    base_dir
        Folder that a relative file name starts from.
    """
    if Path(spec).suffix in {".csv", ".gz"}:
        path = Path(base_dir) / spec
        return _from_csv(path, p_nom_kw, q_nom_kvar, span, bus_ids, rule or LoadRule())
    if spec == "simbench":
        first, hours = simbench_year()
        rows = positions(span, first, hours, spec)
        year = LoadProfiles.simbench(rule).for_buses(
            p_nom_kw, q_nom_kvar, seed=seed, bus_ids=bus_ids
        )
        return BusLoads(
            p_kw=resample(year.p_kw[:, rows], span),
            q_kvar=resample(year.q_kvar[:, rows], span),
            n_homes=year.n_homes,
            mean_kw=year.mean_kw,
            source=year.source,
        )
    if spec == "bdew":
        return _from_bdew(p_nom_kw, q_nom_kvar, span, bus_ids, rule or LoadRule())
    raise DataError("loads", "source", spec, "simbench, bdew or a .csv file")


def _from_bdew(
    p_nom_kw: Array, q_nom_kvar: Array, span: Span, bus_ids: Sequence[int] | None, rule: LoadRule
) -> BusLoads:
    """One smooth profile for all buses, 99.9 % quantile of the year at the nominal power."""
    p_nom, q_nom, _ = _checked_buses(p_nom_kw, q_nom_kvar, bus_ids)
    year = span.hourly_index[0].tz_convert(span.tz).year
    first, shape = bdew_h25(int(year), span.tz)
    shape = shape / np.quantile(shape, _PEAK)
    on_span = resample(shape[positions(span, first, len(shape), "bdew")], span)
    q_shape = np.where(p_nom[:, None] > 0.0, on_span, 1.0)
    homes = np.where(p_nom > 0, np.maximum(np.rint(p_nom / rule.home_kw), 1), 0)
    return BusLoads(
        p_kw=p_nom[:, None] * on_span,
        q_kvar=q_nom[:, None] * q_shape,
        n_homes=homes.astype(np.int64),
        mean_kw=p_nom * shape.mean(),
        source=f"BDEW standard load profile H25 of {year} (demandlib)",
    )


def _from_csv(
    path: Path,
    p_nom_kw: Array,
    q_nom_kvar: Array,
    span: Span,
    bus_ids: Sequence[int] | None,
    rule: LoadRule,
) -> BusLoads:
    """Columns of a CSV; a column for a bus that is not there is refused."""
    p_nom, q_nom, ids = _checked_buses(p_nom_kw, q_nom_kvar, bus_ids)
    table = read_table(path, tz=span.tz)
    names = {f"bus_{bus}" for bus in ids}
    foreign = sorted({name for name, _ in table.columns} - names)
    if foreign:
        raise DataError(path, "header", foreign[0], f"bus_{min(ids)} to bus_{max(ids)} of the grid")
    p, q = np.zeros((len(ids), span.n_total)), np.zeros((len(ids), span.n_total))
    for row, bus in enumerate(ids):
        units = {unit for name, unit in table.columns if name == f"bus_{bus}"}
        if units:
            p[row] = column_on(table, f"bus_{bus}", "kW", span)
            q[row] = p[row] * (q_nom[row] / p_nom[row] if p_nom[row] > 0.0 else 0.0)
        if units - {"kW"}:
            q[row] = column_on(table, f"bus_{bus}", "kvar", span)
    peak = p.max(axis=1)
    homes = np.where(peak > 0, np.maximum(np.rint(peak / rule.home_kw), 1), 0)
    return BusLoads(
        p_kw=p, q_kvar=q, n_homes=homes.astype(np.int64), mean_kw=p.mean(axis=1), source=path.name
    )


def measured_loads(
    spec: str,
    span: Span,
    *,
    buses: Sequence[int],
    tan_phi: Array,
    rule: LoadRule | None = None,
    base_dir: str | Path = ".",
) -> BusLoads:
    """Loads that have a CSV file of their own, on the steps of a span.

    Parameters
    ----------
    spec
        A CSV file with a column ``bus_<id> [kW]`` for each of ``buses``; others are not read.
    span
        The steps wanted; a finer file is averaged, a coarser one held.
    buses
        Bus of each load, which names its column.
    tan_phi
        Reactive over active power, ``(n,)``.
    rule, base_dir
        See :func:`bus_loads`; the rule says how many households a load counts as.
    """
    path = Path(base_dir) / spec
    table = read_table(path, tz=span.tz)
    p = np.stack([column_on(table, f"bus_{bus}", "kW", span) for bus in buses])
    if (p < 0.0).any():
        row, step = (int(found[0]) for found in np.nonzero(p < 0.0))
        field = f"bus_{buses[row]} at {span.index[step]:%Y-%m-%dT%H:%MZ}"
        raise DataError(path, field, float(p[row, step]), "0 or more kW")
    homes = np.maximum(np.rint(p.max(axis=1) / (rule or LoadRule()).home_kw), 1)
    return BusLoads(
        p_kw=p,
        q_kvar=p * tan_phi[:, None],
        n_homes=homes.astype(np.int64),
        mean_kw=p.mean(axis=1),
        source=path.name,
    )


def _checked_buses(
    p_nom_kw: Array, q_nom_kvar: Array, bus_ids: Sequence[int] | None
) -> tuple[Array, Array, list[int]]:
    p_nom = np.asarray(p_nom_kw, dtype=np.float64)
    q_nom = np.asarray(q_nom_kvar, dtype=np.float64)
    ids = list(range(len(p_nom))) if bus_ids is None else [int(bus) for bus in bus_ids]
    if p_nom.ndim != 1 or q_nom.shape != p_nom.shape or len(ids) != len(p_nom) or not ids:
        given = (p_nom.shape, q_nom.shape, len(ids))
        raise DataError("loads", "buses", given, "one P, one Q and one number for each bus")
    for row, bus in enumerate(ids):
        if bus < 0:
            raise DataError("loads", "bus", bus, "a number from 0 up")
        if not (np.isfinite(p_nom[row]) and p_nom[row] >= 0.0):
            raise DataError("loads", f"p_nom_kw of bus {bus}", float(p_nom[row]), "0 or more kW")
        if not np.isfinite(q_nom[row]):
            raise DataError("loads", f"q_nom_kvar of bus {bus}", float(q_nom[row]), "finite kvar")
    return p_nom, q_nom, ids

"""What the simulators of weather and devices share: calendar, data by blocks, inputs as arrays."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from peergrid.cosim.base import Inputs, Simulator, last, total
from peergrid.devices.site import Room, room
from peergrid.errors import DataError
from peergrid.inputs.forecast import MAX_LEAD_H, PERFECT, ForecastModel, ForecastSettings
from peergrid.inputs.span import DEFAULT_TZ, HOUR_S, Span, parse_start, zone
from peergrid.units import hours, kw_from_mw

Floats = NDArray[np.float64]
Data = TypeVar("Data")


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Where mosaik's time 0 lies, and how far data must reach.

    Parameters
    ----------
    start
        Instant of mosaik time 0.
    step_s, horizon
        Length of a step [s]; steps that a forecast reaches past the current one.
    hours
        Hours of data loaded at once: the length of the run if it is known. Longer runs load the
        next block when they come to it.
    tz
        Zone of the local calendar.
    """

    start: datetime
    step_s: int
    horizon: int
    hours: int
    tz: str

    @property
    def block_steps(self) -> int:
        """Steps in a block, ``hours`` rounded up to whole steps."""
        return -(-self.hours * HOUR_S // self.step_s)

    def span(self, block: int, *, extra_h: int = 0) -> Span:
        """Steps of a block, and behind it those of the horizon and of ``extra_h`` hours."""
        per_step = max(self.step_s // HOUR_S, 1)
        tail_h = math.ceil((self.horizon + 1) * self.step_s / HOUR_S) + extra_h
        return Span(
            start=self.start + timedelta(seconds=block * self.block_steps * self.step_s),
            hours=self.block_steps * self.step_s // HOUR_S,
            step_s=self.step_s,
            horizon_h=-(-tail_h // per_step) * per_step,
            tz=self.tz,
        )

    def epoch_s(self, index: int) -> int:
        """Start of a step [s since 1970-01-01T00:00Z]."""
        return int(self.start.timestamp()) + index * self.step_s

    def lead_h(self, index: int) -> Floats:
        """Full hours from a step to each of the ``horizon`` steps after it, at least 1."""
        now = self.epoch_s(index)
        ahead = now + self.step_s * np.arange(1, self.horizon + 1)
        return np.maximum(ahead // HOUR_S - now // HOUR_S, 1).astype(np.float64)

    def local_day(self, index: int) -> tuple[int, int]:
        """First step that begins on the local day of a step, and the first of the next day.

        >>> calendar = Calendar(
        ...     start=parse_start("2016-10-30T01:00"), step_s=3600, horizon=1, hours=24,
        ...     tz=DEFAULT_TZ)
        >>> calendar.local_day(0), calendar.local_day(24)
        ((-1, 24), (24, 48))
        """
        local = (self.start + timedelta(seconds=index * self.step_s)).astimezone(zone(self.tz))
        midnight = datetime.combine(local.date(), time(), tzinfo=local.tzinfo)
        next_midnight = midnight + timedelta(days=1)
        return self._step_from(midnight), self._step_from(next_midnight)

    def _step_from(self, instant: datetime) -> int:
        """First step that does not begin before an instant."""
        return math.ceil((instant.astimezone(UTC) - self.start).total_seconds() / self.step_s)


class Blocks(Generic[Data]):
    """Data of a run, loaded block by block; only the current block is kept."""

    def __init__(
        self, calendar: Calendar, load: Callable[[Span, int], Data], *, extra_h: int = 0
    ) -> None:
        self._calendar = calendar
        self._load = load
        self._extra_h = extra_h
        self._block = -1
        self._data: Data | None = None

    def at(self, index: int) -> tuple[Data, int]:
        """Data of the block that holds a step, and the step's column in it."""
        block, column = divmod(index, self._calendar.block_steps)
        if self._data is None or block != self._block:
            self._data = self._load(self._calendar.span(block, extra_h=self._extra_h), block)
            self._block = block
        return self._data, column


class DeviceSimulator(Simulator):
    """A simulator of devices: parameters that all have in common, entities in rows.

    Subclasses implement ``set_up_own`` and fill ``rows`` in ``make`` through :meth:`add`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, int] = {}
        self.names: list[int] = []
        self.seed = 0
        self.base_dir = "."
        self.calendar = Calendar(
            start=parse_start("2016-06-30"), step_s=HOUR_S, horizon=24, hours=24, tz=DEFAULT_TZ
        )
        self.forecast = ForecastModel(seed=0)

    def set_up(
        self,
        *,
        start: str = "2016-06-30",
        timezone: str = DEFAULT_TZ,
        seed: int = 0,
        horizon: int = 24,
        hours: int = 24,
        forecast: str | Mapping[str, Any] = "default",
        base_dir: str = ".",
        **own: Any,
    ) -> None:
        """Take the parameters that all simulators of devices share.

        Parameters
        ----------
        start
            Time of mosaik's time 0: ISO, local in ``timezone`` unless it has an offset.
        timezone
            Zone of the local calendar (tours, standard load profiles, stamps in CSV files).
        seed
            Root of all random streams.
        horizon
            Steps that forecasts and flexibility reach past the current step.
        hours
            Hours of data loaded at once; give the length of the run. Results do not depend on it,
            except the weather in the first half hour of a block with steps below an hour.
        forecast
            ``default``, ``perfect``, or changes to the default; see :func:`forecast_settings`.
        base_dir
            Folder that relative file names start from.
        **own
            See the simulator's ``set_up_own``.
        """
        step_s = round(self.step_s)
        whole_number(self.sid, "seed", seed, 0)
        whole_number(self.sid, "hours", hours, 1)
        whole_number(self.sid, "horizon", horizon, 1, MAX_LEAD_H * HOUR_S // step_s)
        self.calendar = Calendar(
            start=parse_start(start, tz=timezone),
            step_s=step_s,
            horizon=horizon,
            hours=hours,
            tz=timezone,
        )
        self.calendar.span(0)
        self.seed = seed
        self.base_dir = base_dir
        self.forecast = ForecastModel(seed=seed, settings=forecast_settings(forecast))
        self.set_up_own(**own)

    def set_up_own(self) -> None:
        """Take the simulator's own parameters; none by default."""

    def add(self, model: str, index: int, name: str | None) -> str:
        """Give an entity its row and its random streams; returns its id.

        A named entity draws from streams of its name, so it is the same in every simulator; others
        draw from those of their number.
        """
        eid = f"{model}-{index}"
        self.rows[eid] = len(self.rows)
        self.names.append(index if name is None else zlib.crc32(name.encode()))
        return eid

    @property
    def dt_h(self) -> float:
        """Step length [h]."""
        return hours(self.step_s)

    def t0_s(self, index: int) -> float:
        """Start of the first step that a message of step ``index`` describes [s]."""
        return (index + 1) * self.step_s

    def kw(self, inputs: Inputs, name: str) -> Floats:
        """Sum of what arrived at an attribute in MW, ``(n,)`` [kW]; NaN: nothing did."""
        return kw_from_mw(column(inputs, self.rows, name))

    def room(self, inputs: Inputs) -> Room:
        """What the connection points leave to each entity."""
        names = ("P_min[MW]", "P_max[MW]", "P_gen[MW]", "P_load[MW]")
        return room(*(self.kw(inputs, name) for name in names))


def forecast_settings(given: str | Mapping[str, Any]) -> ForecastSettings:
    """Settings of the error model.

    Parameters
    ----------
    given
        ``default``, ``perfect``, or ``{"model": ..., "settings": {"pv.own_24": 0.2}}`` with fields
        of :class:`peergrid.inputs.forecast.KindSettings` after the kind and a dot.

    Examples
    --------
    >>> forecast_settings({"settings": {"wind.rho": 0.5}}).of("wind").rho
    0.5
    """
    asked: dict[str, Any] = {"model": given} if isinstance(given, str) else dict(given)
    model, changes = asked.pop("model", "default"), asked.pop("settings", {})
    if asked or not isinstance(changes, Mapping):
        raise DataError("forecast", "forecast", given, "the keys model and settings (an object)")
    if model not in ("default", "perfect"):
        raise DataError("forecast", "model", model, "default or perfect")
    kinds = dict((PERFECT if model == "perfect" else ForecastSettings()).kinds)
    for key in sorted(changes):
        kind, _, field = key.partition(".")
        if kind not in kinds or field not in kinds[kind].__dataclass_fields__:
            fields = "own_1, own_24, common_1, common_24, rho"
            raise DataError("forecast", key, changes[key], f"pv., wind. or load. and {fields}")
    for kind in kinds:
        own = {k.partition(".")[2]: v for k, v in changes.items() if k.startswith(f"{kind}.")}
        kinds[kind] = replace(kinds[kind], **own)
    return ForecastSettings(kinds=MappingProxyType(kinds))


# -- decode and encode ---------------------------------------------------------------------------


def column(inputs: Inputs, rows: Mapping[str, int], name: str) -> Floats:
    """Sum of what arrived at an attribute of each entity, ``(n,)``; NaN: nothing did."""
    values = np.full(len(rows), np.nan)
    for eid, row in rows.items():
        if name in inputs.get(eid, ()):
            value = total(inputs, eid, name)
            values[row] = np.nan if value is None else value
    return values


def outlook(inputs: Inputs, rows: Mapping[str, int], name: str, steps: int) -> Floats:
    """Value of this step and its forecast list, ``(n, 1 + steps)``; NaN where unknown.

    One source counts, the first in the order of their names. Longer lists are cut, shorter ones
    go on with their last value.
    """
    listed = name.replace("[", "_forecast[")
    values = np.full((len(rows), 1 + steps), np.nan)
    for eid, row in rows.items():
        now, ahead = last(inputs, eid, name), last(inputs, eid, listed)
        if now is not None:
            values[row, 0] = now
        if ahead:
            size = min(len(ahead), steps)
            values[row, 1 : 1 + size] = ahead[:size]
            values[row, 1 + size :] = values[row, size]
    return values


def known(values: Floats) -> list[float | None]:
    """Python floats for the wire, None for NaN.

    >>> known(np.array([1.0, np.nan]))
    [1.0, None]
    """
    return [None if math.isnan(value) else value for value in values.tolist()]


# -- checks of what users give -------------------------------------------------------------------


def number(where: str, field: str, value: Any, low: float, high: float = math.inf) -> float:
    """The value as a float inside ``[low, high]``, or a :class:`DataError`."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if not (numeric and math.isfinite(value) and low <= value <= high):
        most = "or more" if high == math.inf else f"to {high:g}"
        raise DataError(where, field, value, f"a number, {low:g} {most}")
    return float(value)


def whole_number(where: str, field: str, value: Any, low: int, high: int | None = None) -> int:
    """The value as an integer from ``low`` on, or a :class:`DataError`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and low <= value and (high is None or value <= high)):
        most = "or more" if high is None else f"to {high}"
        raise DataError(where, field, value, f"a whole number, {low} {most}")
    return int(value)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a creation parameter may be: a number in ``[low, high]``.

    ``default`` stands for an absent one (None: it must be given); with ``optional`` None is
    allowed and becomes NaN.
    """

    low: float = 0.0
    high: float = math.inf
    default: float | None = None
    optional: bool = False


def take(
    where: str, params: Mapping[str, Any], allowed: Mapping[str, Quantity]
) -> dict[str, float]:
    """Creation parameters as checked floats, defaults filled in.

    >>> take("Battery-0", {"soc_end": None}, {"soc_end": Quantity(high=1.0, optional=True)})
    {'soc_end': nan}
    """
    unknown = sorted(set(params) - set(allowed))
    if unknown:
        raise DataError(where, unknown[0], params[unknown[0]], f"the keys {sorted(allowed)}")
    taken = {}
    for name, quantity in allowed.items():
        value = params.get(name, quantity.default)
        if value is None and quantity.optional:
            taken[name] = math.nan
        else:
            taken[name] = number(where, name, value, quantity.low, quantity.high)
    return taken


def stacked(rows: Sequence[Mapping[str, float]], name: str) -> Floats:
    """One column of the entities' parameters, ``(n,)``."""
    return np.array([row[name] for row in rows], dtype=np.float64)

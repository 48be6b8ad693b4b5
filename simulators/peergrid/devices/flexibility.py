"""The flexibility message: what a device can do over its next steps, in one plain dictionary.

Every controllable thing, ours or a third party's, describes itself to the market with this
message; a battery, an electric vehicle, a curtailable plant, a fixed load are special cases. The
words follow EN 50491-12-2 (S2): power-envelope (PEBC), fill-rate (FRBC) and power-profile (PPBC)
based control.

Signs: injection into the grid is positive, but for the power of appliances' cycles
(``profiles[].p_kw``), where consumption is. Series have one entry per step of ``dt_s`` seconds from
``t0_s`` on; energies have one more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.message_schema import KINDS, MESSAGE_SCHEMA, SCHEMA
from peergrid.errors import DataError

Series = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cost:
    """What it costs the device's owner to move (all EUR; zero by default).

    Parameters
    ----------
    linear_eur_per_kwh
        Per kWh injected, ``(H,)`` or scalar.
    quadratic_eur_per_kw2h
        ``quadratic * p**2`` per hour.
    wear_eur_per_kwh
        Per kWh charged and per kWh discharged (storage).
    discomfort_eur_per_kw2h
        ``discomfort * (p - p_ref)**2`` per hour.
    cut_cost_eur_per_kwh
        Per kWh by which the injection stays below ``p_max`` (curtailment).
    """

    linear_eur_per_kwh: Series | float = 0.0
    quadratic_eur_per_kw2h: float = 0.0
    wear_eur_per_kwh: float = 0.0
    discomfort_eur_per_kw2h: float = 0.0
    cut_cost_eur_per_kwh: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage:
    """Energy state behind the power: battery, vehicle, heat pump with its building.

    ``e[t+1] = (1 - leak) * e[t] + (eta_charge * charge - discharge / eta_discharge) * dt_h
    - demand[t]`` with ``e_min[t] <= e[t] <= e_max[t]`` for t = 1..H and ``e[0] = e_now``.

    Parameters
    ----------
    e_min_kwh, e_max_kwh
        ``(H+1,)``; entry t is the instant at the start of step t.
    e_now_kwh
        Energy at ``t0_s``.
    eta_charge, eta_discharge
        ``(H,)``.
    leak
        Share of the energy lost per step.
    demand_kwh
        ``(H,)``, drawn off within the step (trips).
    """

    e_min_kwh: Series
    e_max_kwh: Series
    e_now_kwh: float
    eta_charge: Series
    eta_discharge: Series
    leak: float
    demand_kwh: Series


@dataclass(frozen=True, kw_only=True, eq=False)
class Flexibility:
    """A decoded message; see the module's text for signs and
    :mod:`peergrid.devices.message_schema` for the wire.

    Parameters
    ----------
    kind
        ``PEBC``, ``FRBC`` (with ``storage``) or ``PPBC`` (with ``profiles``).
    t0_s, dt_s
        Start of the first step [s of simulated time] and step length [s].
    p_min_kw, p_max_kw, p_ref_kw
        ``(H,)`` smallest, largest and expected injection.
    q_ref_kvar
        ``(H,)`` reactive injection the device expects to have when nobody asks for any; with
        ``tan_phi`` in ``q`` what goes with ``p_ref_kw``.
    sigma_kw
        ``(H,)`` standard deviation of the forecast behind ``p_ref`` and ``p_max``.
    storage, cost, q, profiles
        Optional parts of the message.
    """

    kind: str
    t0_s: float
    dt_s: float
    p_min_kw: Series
    p_max_kw: Series
    p_ref_kw: Series
    q_ref_kvar: Series
    sigma_kw: Series
    storage: Storage | None = None
    cost: Cost = field(default_factory=Cost)
    q: Mapping[str, Any] | None = None
    profiles: tuple[Mapping[str, Any], ...] = ()

    @property
    def steps(self) -> int:
        """Number of steps H."""
        return len(self.p_min_kw)

    @property
    def is_fixed(self) -> bool:
        """Whether nothing can be asked of the device: smallest equals largest injection."""
        return bool(np.all(self.p_max_kw - self.p_min_kw <= 1e-9))


def _fail(key: str, value: object, allowed: str) -> DataError:
    return DataError("flexibility message", key, value, allowed)


def _series(message: Mapping[str, Any], key: str, size: int, default: Any = None) -> Series:
    """Series of ``size`` finite numbers under ``key``; a scalar stands for a constant one."""
    value = message.get(key, default)
    if value is None:
        raise _fail(key, value, f"a list of {size} numbers")
    try:
        series = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _fail(key, value, f"a list of {size} numbers") from error
    if series.ndim == 0:
        series = np.full(size, float(series))
    if series.shape != (size,):
        raise _fail(key, f"{series.size} numbers", f"a list of {size} numbers")
    if not np.isfinite(series).all():
        raise _fail(key, value, "finite numbers")
    return series


def _number(message: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = message.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _fail(key, value, "a finite number")
    return float(value)


def _storage(message: Mapping[str, Any], steps: int) -> Storage | None:
    if "e_now_kwh" not in message:
        return None
    storage = Storage(
        e_min_kwh=_series(message, "e_min_kwh", steps + 1, 0.0),
        e_max_kwh=_series(message, "e_max_kwh", steps + 1),
        e_now_kwh=_number(message, "e_now_kwh"),
        eta_charge=_series(message, "eta_charge", steps, 1.0),
        eta_discharge=_series(message, "eta_discharge", steps, 1.0),
        leak=_number(message, "leak", 0.0),
        demand_kwh=_series(message, "demand_kwh", steps, 0.0),
    )
    if np.any(storage.e_min_kwh > storage.e_max_kwh + 1e-9):
        raise _fail("e_min_kwh", message["e_min_kwh"], "at most e_max_kwh in every entry")
    # A heat pump's coefficient of performance makes eta_charge exceed one; discharge never does.
    if np.any(storage.eta_charge <= 0):
        raise _fail("eta_charge", message["eta_charge"], "above 0")
    if np.any((storage.eta_discharge <= 0) | (storage.eta_discharge > 1)):
        raise _fail("eta_discharge", message["eta_discharge"], "above 0, at most 1")
    gains = storage.eta_charge * storage.eta_discharge > 1.0 + 1e-12
    if np.any(gains & (np.asarray(message["p_max_kw"], dtype=np.float64) > 0)):
        raise _fail("eta_charge", message["eta_charge"], "at most 1 / eta_discharge if it injects")
    if not 0 <= storage.leak < 1:
        raise _fail("leak", storage.leak, "0 to below 1")
    return storage


def _cost(message: Mapping[str, Any], steps: int) -> Cost:
    cost = message.get("cost") or {}
    if not isinstance(cost, Mapping):
        raise _fail("cost", cost, "an object")
    known = set(MESSAGE_SCHEMA["properties"]["cost"]["properties"])
    unknown = sorted(set(cost) - known)
    if unknown:
        raise _fail("cost", unknown, f"the keys {sorted(known)}")
    linear = cost.get("linear", 0.0)
    parsed = Cost(
        linear_eur_per_kwh=_series({"linear": linear}, "linear", steps),
        quadratic_eur_per_kw2h=_number(cost, "quadratic", 0.0),
        wear_eur_per_kwh=_number(cost, "wear", 0.0),
        discomfort_eur_per_kw2h=_number(cost, "discomfort_eur_per_kw2h", 0.0),
        cut_cost_eur_per_kwh=_number(cost, "cut_cost", 0.0),
    )
    for key in ("quadratic_eur_per_kw2h", "wear_eur_per_kwh", "discomfort_eur_per_kw2h"):
        if getattr(parsed, key) < 0:
            raise _fail(f"cost.{key}", getattr(parsed, key), "0 or more (the cost must be convex)")
    return parsed


def _profiles(message: Mapping[str, Any], steps: int) -> tuple[Mapping[str, Any], ...]:
    """Cycles, each of which must fit into its window ``count`` times one after the other."""
    profiles = message.get("profiles") or ()
    if not isinstance(profiles, list | tuple):
        raise _fail("profiles", profiles, "a list of cycles")
    for k, profile in enumerate(profiles):
        where = f"profiles[{k}]"
        if not isinstance(profile, Mapping) or not isinstance(profile.get("p_kw"), list | tuple):
            raise _fail(where, profile, "an object with p_kw (a list), earliest, latest, count")
        length = len(profile["p_kw"])
        _series(profile, "p_kw", length)
        window = [profile.get(key) for key in ("earliest", "latest", "count")]
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in window):
            raise _fail(where, dict(profile), "whole numbers for earliest, latest and count")
        earliest, latest, count = (int(value) for value in window if value is not None)
        if not (0 <= earliest < latest <= steps and length > 0 and count > 0):
            allowed = f"0 <= earliest < latest <= {steps} steps, a cycle, and count 1 or more"
            raise _fail(where, dict(profile), allowed)
        if count * length > latest - earliest:
            allowed = f"at most the {latest - earliest} steps between earliest and latest"
            raise _fail(f"{where}: count times cycle", f"{count} x {length} steps", allowed)
    return tuple(profiles)


def _capability(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Reactive capability and what it costs.

    A range of q, apparent power, power factor: what is absent is free. With ``tan_phi`` the
    reactive injection follows the active one, ``q = tan_phi * p``, on top of what these offer;
    where none of them is given nothing else is on offer.
    """
    q = message.get("q")
    if q is None:
        return None
    known = sorted(MESSAGE_SCHEMA["properties"]["q"]["properties"])
    if not isinstance(q, Mapping) or set(q) - set(known):
        raise _fail("q", q, f"an object with some of the keys {known}")
    if "box" in q:
        if not isinstance(q["box"], list | tuple):
            raise _fail("q.box", q["box"], "[q_min_kvar, q_max_kvar]")
        low, high = _series({"q.box": q["box"]}, "q.box", 2)
        if low > high:
            raise _fail("q.box", q["box"], "q_min_kvar, then q_max_kvar, in this order")
    limits = (("disc_kva", math.inf, "above 0"), ("min_pf", 1.0, "above 0, at most 1"))
    for key, most, allowed in limits:
        if key in q and not 0.0 < _part(q, key) <= most:
            raise _fail(f"q.{key}", q[key], allowed)
    for key in ("cost", "quadratic"):
        if key in q and _part(q, key) < 0.0:
            raise _fail(f"q.{key}", q[key], "0 or more (the cost must be convex)")
    if "tan_phi" in q:
        _part(q, "tan_phi")
    return q


def _part(q: Mapping[str, Any], key: str) -> float:
    """A number of the reactive part, named in full if it is none."""
    return _number({f"q.{key}": q[key]}, f"q.{key}")


def parse(message: Any) -> Flexibility:
    """Decode and check a flexibility message.

    Raises
    ------
    DataError
        Naming the key, its value and what is allowed.

    Examples
    --------
    >>> load = parse({"schema": SCHEMA, "kind": "PEBC", "t0_s": 0, "dt_s": 3600,
    ...               "p_min_kw": [-2, -3], "p_max_kw": [-2, -3]})
    >>> load.is_fixed, load.p_ref_kw.tolist()
    (True, [-2.0, -3.0])
    """
    if not isinstance(message, Mapping):
        raise _fail("message", message, "an object (see the schema)")
    unknown = sorted(set(message) - set(MESSAGE_SCHEMA["properties"]))
    if unknown:
        raise _fail("message", unknown, "only the keys of the schema")
    if message.get("schema", SCHEMA) != SCHEMA:
        raise _fail("schema", message["schema"], SCHEMA)
    kind = message.get("kind")
    if kind not in KINDS:
        raise _fail("kind", kind, ", ".join(KINDS))
    limits = message.get("p_max_kw")
    if not isinstance(limits, list | tuple) or not limits:
        raise _fail("p_max_kw", limits, "a list with one number per step")
    steps = len(limits)
    p_max = _series(message, "p_max_kw", steps)
    p_min = _series(message, "p_min_kw", steps)
    if np.any(p_min > p_max + 1e-9):
        raise _fail("p_min_kw", message["p_min_kw"], "at most p_max_kw in every entry")
    dt_s = _number(message, "dt_s")
    if dt_s <= 0:
        raise _fail("dt_s", dt_s, "above 0")
    storage = _storage(message, steps)
    if kind == "FRBC" and storage is None:
        raise _fail("e_now_kwh", None, "a number: fill-rate control needs the storage keys")
    sigma = _series(message, "sigma_kw", steps, 0.0)
    if np.any(sigma < 0):
        raise _fail("sigma_kw", message["sigma_kw"], "0 or more")
    default_ref = np.clip(0.0, p_min, p_max)
    return Flexibility(
        kind=kind,
        t0_s=_number(message, "t0_s"),
        dt_s=dt_s,
        p_min_kw=p_min,
        p_max_kw=p_max,
        p_ref_kw=_series(message, "p_ref_kw", steps, default_ref),
        q_ref_kvar=_series(message, "q_ref_kvar", steps, 0.0),
        sigma_kw=sigma,
        storage=storage,
        cost=_cost(message, steps),
        q=_capability(message),
        profiles=_profiles(message, steps),
    )


def compose(*, kind: str, t0_s: float, dt_s: float, **parts: Any) -> dict[str, Any]:
    """A message as plain JSON data from arrays and numbers; None parts are left out.

    >>> compose(kind="PEBC", t0_s=0, dt_s=3600, p_min_kw=np.zeros(2), p_max_kw=np.ones(2))
    ... # doctest: +NORMALIZE_WHITESPACE
    {'schema': 'peergrid.flexibility/1', 'kind': 'PEBC', 't0_s': 0.0, 'dt_s': 3600.0,
     'p_min_kw': [0.0, 0.0], 'p_max_kw': [1.0, 1.0]}
    """
    message: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": kind,
        "t0_s": float(t0_s),
        "dt_s": float(dt_s),
    }
    for key, value in parts.items():
        if value is None:
            continue
        message[key] = value.tolist() if isinstance(value, np.ndarray) else value
    return message

"""What the operator remembers from one hour to the next, and its plain form for restarts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.calibration import Calibration
from peergrid.envelopes.feedback import Correction
from peergrid.envelopes.feedback_lines import Factors
from peergrid.envelopes.metering import History
from peergrid.market.result import Warm

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pending:
    """The hour that was cleared and is not yet settled.

    Parameters
    ----------
    position_kw, position_kvar
        ``(N,)`` cleared injection.
    trade_kw, trade_kvar
        ``(N, N)`` cleared trades from row to column, where trades have a fee.
    theta_eur_per_kwh
        ``(G,)`` cleared marginal price by pool.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh, ..._per_kvarh
        The tariffs.
    p_min_kw, p_max_kw
        ``(N,)`` published envelope.
    load_kw, load_kvar
        ``(n,)`` forecast firm load by feeder row, that of bystanders included.
    sigma_kw
        ``(N,)`` standard deviation of each injection.
    flexible
        ``(F,)`` resources that could be asked.
    """

    position_kw: Floats
    theta_eur_per_kwh: Floats
    price_import_eur_per_kwh: float
    price_feed_in_eur_per_kwh: float
    p_min_kw: Floats
    p_max_kw: Floats
    load_kw: Floats
    load_kvar: Floats
    flexible: NDArray[np.int64]
    sigma_kw: Floats
    position_kvar: Floats
    trade_kw: Floats | None = None
    trade_kvar: Floats | None = None
    price_import_eur_per_kvarh: float = 0.0
    price_feed_in_eur_per_kvarh: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Memory of the operator; :meth:`plain` and :func:`from_plain` are inverse to the bit.

    ``plan_kw`` and ``plan_kvar`` ``(N, H)`` are the positions that the last clearing planned for
    the steps from the next one on.
    """

    heard: NDArray[np.bool_]
    correction: Correction
    pending: Pending | None = None
    warm: Warm | None = None
    warm_keys: tuple[int, ...] = field(default=())
    agreed: Boxes | None = None
    static: Boxes | None = None
    calibration: Calibration = field(default_factory=Calibration)
    plan_kw: Floats | None = None
    plan_kvar: Floats | None = None

    @classmethod
    def first(cls, resources: int, buses: int) -> "State":
        """Before the first hour."""
        return cls(heard=np.zeros(resources, dtype=bool), correction=Correction.none(buses))

    def plain(self) -> dict[str, Any]:
        """JSON-ready data."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


def from_plain(data: Mapping[str, Any]) -> State:
    """State from what :meth:`State.plain` returned."""
    pending = data["pending"]
    return State(
        heard=np.array(data["heard"], dtype=bool),
        correction=_correction(data["correction"]),
        pending=None if pending is None else _pending(pending),
        warm=None if data["warm"] is None else _warm(data["warm"]),
        warm_keys=tuple(data["warm_keys"]),
        agreed=_boxes(data["agreed"]),
        static=_boxes(data["static"]),
        calibration=Calibration(
            errors=tuple(data["calibration"]["errors"]), keep=data["calibration"]["keep"]
        ),
        plan_kw=_maybe(data["plan_kw"]),
        plan_kvar=_maybe(data["plan_kvar"]),
    )


def _correction(data: Mapping[str, Any]) -> Correction:
    factors, history = data["factors"], data["history"]
    return Correction(
        narrow_upper_pu=_array(data["narrow_upper_pu"]),
        narrow_lower_pu=_array(data["narrow_lower_pu"]),
        load_scale=data["load_scale"],
        factors=None if factors is None else Factors(**_arrays(factors)),
        history=None if history is None else _history(history),
    )


def _history(data: Mapping[str, Any]) -> History:
    return History(
        readings=_array(data["readings"]),
        repeats=np.array(data["repeats"], dtype=np.int64),
        head_kw=data["head_kw"],
    )


def _maybe(data: Mapping[str, Any] | None) -> Floats | None:
    return None if data is None else _array(data)


def _arrays(data: Mapping[str, Any]) -> dict[str, Floats]:
    return {name: _array(values) for name, values in data.items()}


def _pending(data: Mapping[str, Any]) -> Pending:
    values: dict[str, Any] = {
        name: _array(value) if isinstance(value, Mapping) else value for name, value in data.items()
    }
    values["flexible"] = np.array(data["flexible"], dtype=np.int64)
    return Pending(**values)


def _warm(data: Mapping[str, Any]) -> Warm:
    arrays = {name: _array(values) for name, values in data.items() if name != "rho"}
    return Warm(**arrays, rho=float(data["rho"]))


def _boxes(data: Mapping[str, Any] | None) -> Boxes | None:
    if data is None:
        return None
    return Boxes(**{name: _array(values) for name, values in data.items()})


def _plain(value: Any) -> Any:
    """Float arrays as their exact bytes in hex: JSON holds neither infinities nor NaN."""
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, np.ndarray):
        if value.dtype == np.float64:
            return {"shape": list(value.shape), "hex": value.tobytes().hex()}
        return value.tolist()
    if isinstance(value, tuple):
        return list(value)
    return value


def _array(data: Mapping[str, Any]) -> Floats:
    """Inverse of the exact form of a float array."""
    raw = np.frombuffer(bytes.fromhex(data["hex"]), dtype=np.float64)
    return raw.reshape(data["shape"]).copy()

"""What the operator remembers from one hour to the next, and its plain form for restarts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.feedback import Correction
from peergrid.market.result import Warm

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pending:
    """The hour that was cleared and is not yet settled.

    Parameters
    ----------
    position_kw
        ``(N,)`` cleared injection.
    theta_eur_per_kwh
        ``(G,)`` cleared marginal price by pool.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        The tariffs.
    p_min_kw, p_max_kw
        ``(N,)`` published envelope.
    expected_load_kw
        Forecast of the firm load of all participants.
    flexible
        ``(F,)`` resources that could be asked.
    """

    position_kw: Floats
    theta_eur_per_kwh: Floats
    price_import_eur_per_kwh: float
    price_feed_in_eur_per_kwh: float
    p_min_kw: Floats
    p_max_kw: Floats
    expected_load_kw: float
    flexible: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Memory of the operator; :meth:`plain` and :func:`from_plain` are inverse to the bit."""

    heard: NDArray[np.bool_]
    correction: Correction
    pending: Pending | None = None
    warm: Warm | None = None
    warm_keys: tuple[int, ...] = field(default=())
    agreed: Boxes | None = None
    static: Boxes | None = None

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
        correction=Correction(
            narrow_upper_pu=_array(data["correction"]["narrow_upper_pu"]),
            narrow_lower_pu=_array(data["correction"]["narrow_lower_pu"]),
            load_scale=data["correction"]["load_scale"],
            impedance_scale=data["correction"]["impedance_scale"],
            drop_evidence=(
                data["correction"]["drop_evidence"][0],
                data["correction"]["drop_evidence"][1],
            ),
        ),
        pending=None if pending is None else _pending(pending),
        warm=None if data["warm"] is None else _warm(data["warm"]),
        warm_keys=tuple(data["warm_keys"]),
        agreed=_boxes(data["agreed"]),
        static=_boxes(data["static"]),
    )


def _pending(data: Mapping[str, Any]) -> Pending:
    arrays = ("position_kw", "theta_eur_per_kwh", "p_min_kw", "p_max_kw")
    values: dict[str, Any] = {
        name: _array(value) if name in arrays else value for name, value in data.items()
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

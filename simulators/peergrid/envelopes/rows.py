"""Network limits as linear rows over the participants' injections.

A row says ``a @ p + b @ q <= limit``. Over a whole box of injections its worst case is
``a+ @ p_max + a- @ p_min + b+ @ q_max + b- @ q_min`` with ``a+ = max(a, 0)``, ``a- = min(a, 0)``:
exact, without enumerating corners. On a radial feeder each family of rows has one sign in ``a``:
raising rows (voltage up, export through a branch) look only at ``p_max``, lowering rows only at
``p_min``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.network.feeder import Feeder
from peergrid.network.linear import LinearModel

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
FACES = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """J rows over N participants and T hours.

    Parameters
    ----------
    a, b
        ``(J, N)`` coefficients per kW and per kvar.
    limit
        ``(J, T)``.
    bus
        ``(J,)`` feeder row of the bus whose voltage, or of the branch whose current, is limited.
    kind
        ``(J,)`` "vmax", "vmin" or "current".
    """

    a: Floats
    b: Floats
    limit: Floats
    bus: Indices
    kind: NDArray[np.str_]

    def worst(self, high: tuple[Floats, Floats], low: tuple[Floats, Floats]) -> Floats:
        """Left-hand sides ``(J, T)`` at the worst point of boxes ``(p, q)`` high and low."""
        return (
            np.maximum(self.a, 0.0) @ high[0]
            + np.minimum(self.a, 0.0) @ low[0]
            + np.maximum(self.b, 0.0) @ high[1]
            + np.minimum(self.b, 0.0) @ low[1]
        )

    def where(self, keep: NDArray[np.bool_]) -> "Rows":
        """A subset of the rows."""
        return Rows(
            a=self.a[keep],
            b=self.b[keep],
            limit=self.limit[keep],
            bus=self.bus[keep],
            kind=self.kind[keep],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """The operator's limits: voltage band per bus and hour [pu], loading of branches."""

    v_min_pu: Floats
    v_max_pu: Floats
    loading: float = 1.0


def voltage_rows(
    model: LinearModel, at: Indices, limits: Limits, background: tuple[Floats, Floats]
) -> Rows:
    """Upper and lower voltage limit of every bus.

    Parameters
    ----------
    model
        Linear voltages of the feeder.
    at
        ``(N,)`` feeder row of each participant.
    limits
        Voltage bands ``(n, T)``.
    background
        Injections ``(n, T)`` [kW, kvar] of everything that is not a participant.
    """
    voltage = model.voltage_sq(*background)[1:]
    buses = np.arange(1, len(model.R))
    rise, rise_q = model.R[1:, at], model.X[1:, at]
    return Rows(
        a=np.vstack([rise, -rise]),
        b=np.vstack([rise_q, -rise_q]),
        limit=np.vstack([limits.v_max_pu[1:] ** 2 - voltage, voltage - limits.v_min_pu[1:] ** 2]),
        bus=np.concatenate([buses, buses]),
        kind=np.repeat(np.array(["vmax", "vmin"]), len(buses)),
    )


def current_rows(
    feeder: Feeder,
    model: LinearModel,
    at: Indices,
    limits: Limits,
    background: tuple[Floats, Floats],
) -> Rows:
    """Current limit of every branch: an inscribed polygon of the apparent-power disc.

    The disc's radius is the rating at the lowest voltage allowed, which is on the safe side.
    """
    rated = np.sqrt(3.0) * feeder.vn_kv * feeder.i_max_ka * 1000.0
    radius = limits.loading * rated * limits.v_min_pu.min()
    limited = np.flatnonzero(np.isfinite(radius) & (np.arange(feeder.n_bus) > 0))
    through = model.D[limited][:, at]
    flow, flow_q = (-(model.D[limited] @ part) for part in background)
    parts = []
    # Faces start off the axes: none is blind to active power, so each has one sign in ``a``.
    for angle in (np.arange(FACES) + 0.5) * 2.0 * np.pi / FACES:
        cos, sin = np.cos(angle), np.sin(angle)
        inner = radius[limited, None] * np.cos(np.pi / FACES)
        parts.append((-cos * through, -sin * through, inner - cos * flow - sin * flow_q))
    return Rows(
        a=np.vstack([part[0] for part in parts]),
        b=np.vstack([part[1] for part in parts]),
        limit=np.vstack([part[2] for part in parts]),
        bus=np.tile(limited, FACES),
        kind=np.full(len(limited) * FACES, "current"),
    )


def stack(first: Rows, second: Rows) -> Rows:
    """Both sets of rows."""
    return Rows(
        a=np.vstack([first.a, second.a]),
        b=np.vstack([first.b, second.b]),
        limit=np.vstack([first.limit, second.limit]),
        bus=np.concatenate([first.bus, second.bus]),
        kind=np.concatenate([first.kind, second.kind]),
    )

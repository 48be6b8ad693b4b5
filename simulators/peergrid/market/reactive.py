"""Reactive capability of the resources: what their messages allow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
OFFERS = {"box", "disc_kva", "min_pf"}  # keys of a message by which reactive power is offered


@dataclass(frozen=True, kw_only=True, eq=False)
class Reactive:
    """Reactive capability of Q of the resources over T steps.

    Parameters
    ----------
    resource
        ``(Q,)`` which resource each row belongs to.
    q_min_kvar, q_max_kvar
        ``(Q, T)`` limits of the reactive injection, whatever the active one.
    q_ref_kvar
        ``(Q, T)`` what it is when nobody asks for any.
    apparent_kva, tan_phi
        ``(Q,)`` limits on both together; infinite where there is none.
    p_min_kw, p_max_kw
        ``(Q, T)`` range of the active injection.
    cost_eur_per_kvarh, quadratic_eur_per_kvar2h
        ``(Q,)`` what providing it costs: ``cost |q| + quadratic q^2`` per hour.
    """

    resource: Indices
    q_min_kvar: Floats
    q_max_kvar: Floats
    q_ref_kvar: Floats
    apparent_kva: Floats
    tan_phi: Floats
    p_min_kw: Floats
    p_max_kw: Floats
    cost_eur_per_kvarh: Floats
    quadratic_eur_per_kvar2h: Floats

    @property
    def joint(self) -> Indices:
        """Rows whose active and reactive power limit each other."""
        return np.flatnonzero(np.isfinite(self.apparent_kva) | np.isfinite(self.tan_phi))

    def of(self, rows: Indices) -> "Reactive":
        """The capability of some rows."""
        return Reactive(**{name: values[rows] for name, values in vars(self).items()})

    def none(self) -> "Reactive":
        """No reactive capability over the same steps."""
        return self.of(np.empty(0, dtype=np.int64))

    def nearest(self, target_kvar: Floats, weight: Floats, dt_h: float) -> Floats:
        """Least of own cost plus ``weight / 2 (q - target)^2`` within the limits, ``(Q, T)``."""
        pull = weight[:, None] * target_kvar
        bend = weight + 2.0 * dt_h * self.quadratic_eur_per_kvar2h
        return self._least(pull, bend, dt_h)

    def best(self, price_eur_per_kvarh: Floats, dt_h: float) -> Floats:
        """Most that selling reactive power at a price earns, by row ``(Q,)`` [EUR]."""
        bend = 2.0 * dt_h * self.quadratic_eur_per_kvar2h
        q_kvar = self._least(dt_h * price_eur_per_kvarh, bend, dt_h)
        earned = dt_h * (price_eur_per_kvarh * q_kvar).sum(axis=1)
        return np.asarray(earned - self.cost(q_kvar, dt_h))

    def cost(self, q_kvar: Floats, dt_h: float) -> Floats:
        """Own cost of reactive injections ``(Q, T)``, by row ``(Q,)`` [EUR]."""
        linear = self.cost_eur_per_kvarh * np.abs(q_kvar).sum(axis=1)
        bent = self.quadratic_eur_per_kvar2h * (q_kvar**2).sum(axis=1)
        return np.asarray(dt_h * (linear + bent))

    def _least(self, pull: Floats, bend: Floats, dt_h: float) -> Floats:
        """Minimiser of ``bend / 2 q^2 - pull q + dt_h cost |q|`` within the limits."""
        dead = dt_h * self.cost_eur_per_kvarh[:, None]
        moved = np.sign(pull) * np.maximum(np.abs(pull) - dead, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            free = np.where(moved == 0.0, 0.0, moved / bend[:, None])
        return np.asarray(np.clip(free, self.q_min_kvar, self.q_max_kvar))

    def inside(self, p_kw: Floats, q_kvar: Floats) -> Floats:
        """The nearest reactive power ``(Q, T)`` that goes with an active power, exactly."""
        disc = np.sqrt(np.maximum(self.apparent_kva[:, None] ** 2 - p_kw**2, 0.0))
        with np.errstate(invalid="ignore"):
            cone = np.where(
                np.isinf(self.tan_phi)[:, None], np.inf, self.tan_phi[:, None] * abs(p_kw)
            )
        most = np.minimum(disc, cone)
        return np.clip(np.clip(q_kvar, self.q_min_kvar, self.q_max_kvar), -most, most)


def build_reactive(messages: Sequence[Flexibility], steps: int) -> Reactive:
    """Reactive capability from flexibility messages; resources that offer none have no row."""
    chosen = [i for i, message in enumerate(messages) if message.q and set(message.q) & OFFERS]
    p_min = _stack([messages[i].p_min_kw for i in chosen], steps)
    p_max = _stack([messages[i].p_max_kw for i in chosen], steps)
    offers = [messages[i].q or {} for i in chosen]
    apparent = np.array([float(q.get("disc_kva", np.inf)) for q in offers])
    factor = np.array([float(q.get("min_pf", 0.0)) for q in offers])
    with np.errstate(divide="ignore"):
        tan_phi = np.where(factor > 0.0, np.sqrt(1.0 - factor**2) / factor, np.inf)
    box = np.array([q.get("box", (-np.inf, np.inf)) for q in offers], dtype=float).reshape(-1, 2)
    reach = np.maximum(np.abs(p_min), np.abs(p_max))
    with np.errstate(invalid="ignore"):
        cone = np.where(np.isinf(tan_phi)[:, None], np.inf, tan_phi[:, None] * reach)
    most = np.minimum(apparent[:, None], cone)
    return Reactive(
        resource=np.array(chosen, dtype=np.int64),
        q_min_kvar=np.maximum(box[:, :1], -most),
        q_max_kvar=np.minimum(box[:, 1:], most),
        q_ref_kvar=_stack([messages[i].q_ref_kvar for i in chosen], steps),
        apparent_kva=apparent,
        tan_phi=tan_phi,
        p_min_kw=p_min,
        p_max_kw=p_max,
        cost_eur_per_kvarh=np.array([float(q.get("cost", 0.0)) for q in offers]),
        quadratic_eur_per_kvar2h=np.array([float(q.get("quadratic", 0.0)) for q in offers]),
    )


def _stack(rows: Sequence[Floats], steps: int) -> Floats:
    return np.array([row[:steps] for row in rows], dtype=np.float64).reshape(len(rows), steps)

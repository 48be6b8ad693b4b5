"""Envelopes over active and reactive power together: each participant stays inside its polygon."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Planar = tuple[Floats, Floats]
SAME = 1e-9  # an edge is no edge that is shorter than this, relative to the largest coordinate


@dataclass(frozen=True, kw_only=True, eq=False)
class EnvelopePolygons:
    """Coupling rows: active positions of M participants, then reactive ones.

    Parameters
    ----------
    rows, offset_kw
        ``(2 M, A)`` and ``(2 M, T)``.
    corners_kw, corners_kvar
        ``(M, K, T)`` corners of convex polygons, counter-clockwise; corners may coincide.
    size_kw
        ``(2 M,)`` typical injection, for scaling; both rows of a participant have the same.
    participant
        ``(M,)`` whose polygons they are.
    """

    rows: Floats
    offset_kw: Floats
    corners_kw: Floats
    corners_kvar: Floats
    size_kw: Floats
    participant: NDArray[np.int64]

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """The nearest point of each polygon; both rows of a participant weigh the same."""
        p, q = (part[:, None] for part in np.split(target_kw, 2))
        inside = self._beyond(p, q).max(axis=1, keepdims=True) <= 0.0
        (along_p, along_q), square = self._edges, self._square
        ahead = (p - self.corners_kw) * along_p + (q - self.corners_kvar) * along_q
        share = np.clip(ahead / np.where(square > 0.0, square, 1.0), 0.0, 1.0)
        at_p, at_q = self.corners_kw + share * along_p, self.corners_kvar + share * along_q
        nearest = np.argmin((p - at_p) ** 2 + (q - at_q) ** 2, axis=1)[:, None]
        found = (
            np.where(inside, old, np.take_along_axis(new, nearest, axis=1))[:, 0]
            for old, new in ((p, at_p), (q, at_q))
        )
        return np.concatenate(list(found))

    def violation_kw(self, total_kw: Floats) -> float:
        """How far totals ``(2 M, T)`` are from their polygons at most."""
        away = total_kw - self.propose(total_kw, self.size_kw)
        return float(np.hypot(*np.split(away, 2)).max(initial=0.0))

    def support(self, price_eur_per_kwh: Floats) -> float:
        """Least of ``-price * total`` over the polygons [EUR per h]."""
        on_p, on_q = (part[:, None] for part in np.split(price_eur_per_kwh, 2))
        worth = on_p * self.corners_kw + on_q * self.corners_kvar
        return -float(worth.max(axis=1).sum()) if worth.size else 0.0

    @cached_property
    def planes(self) -> tuple[Floats, Floats, Floats]:
        """Half-planes ``a p + b q <= limit``, each ``(M, K + 4, T)``: edges, then bounding box.

        An edge without length has ``a = b = limit = 0``.
        """
        (along_p, along_q), length = self._edges, np.sqrt(self._square)
        unit = np.where(length > 0.0, length, 1.0)
        a, b = along_q / unit, -along_p / unit
        outer = np.zeros((4, len(a), 4, a.shape[2]))
        ones = np.ones((len(a), a.shape[2]))
        outer[0, :, 0], outer[0, :, 1], outer[1, :, 2], outer[1, :, 3] = ones, -ones, ones, -ones
        p, q = self.corners_kw, self.corners_kvar
        bounds = [p.max(axis=1), -p.min(axis=1), q.max(axis=1), -q.min(axis=1)]
        return (
            np.concatenate([a, outer[0]], axis=1),
            np.concatenate([b, outer[1]], axis=1),
            np.concatenate([a * p + b * q, np.stack(bounds, axis=1)], axis=1),
        )

    @cached_property
    def _edges(self) -> Planar:
        """From each corner to the next; zero where they coincide."""
        p, q = self.corners_kw, self.corners_kvar
        along_p, along_q = np.roll(p, -1, axis=1) - p, np.roll(q, -1, axis=1) - q
        size = np.maximum(np.abs(p), np.abs(q)).max(axis=1, keepdims=True, initial=0.0)
        real = np.hypot(along_p, along_q) > SAME * size
        return np.where(real, along_p, 0.0), np.where(real, along_q, 0.0)

    @cached_property
    def _square(self) -> Floats:
        """Squared lengths of the edges."""
        return np.asarray(self._edges[0] ** 2 + self._edges[1] ** 2)

    def _beyond(self, p: Floats, q: Floats) -> Floats:
        """How far points ``(M, 1, T)`` are beyond each half-plane, ``(M, K + 4, T)``."""
        a, b, limit = self.planes
        return np.asarray(a * p + b * q - limit)

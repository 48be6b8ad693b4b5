"""The envelope itself: one box of active and reactive injection per participant and hour."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """Limits on the injections of N participants over T hours, all ``(N, T)``, export positive."""

    p_max_kw: Floats
    p_min_kw: Floats
    q_max_kvar: Floats
    q_min_kvar: Floats

    @classmethod
    def unlimited(cls, participants: int, hours: int) -> "Boxes":
        """No limit at all."""
        free = np.full((participants, hours), np.inf)
        return cls(p_max_kw=free, p_min_kw=-free, q_max_kvar=free, q_min_kvar=-free)

    @classmethod
    def of_extent(cls, extent: Floats) -> "Boxes":
        """From ``(4 N, T)``: p_max, -p_min, q_max and -q_min of all participants, stacked."""
        up, down, q_up, q_down = np.split(extent, 4)
        return cls(p_max_kw=up, p_min_kw=-down, q_max_kvar=q_up, q_min_kvar=-q_down)

    @property
    def extent(self) -> Floats:
        """How far each box reaches to each side, ``(4 N, T)``; see :meth:`of_extent`."""
        return np.concatenate([self.p_max_kw, -self.p_min_kw, self.q_max_kvar, -self.q_min_kvar])

    def hours(self, index: Indices | slice) -> "Boxes":
        """Some hours of it."""
        return Boxes(
            p_max_kw=self.p_max_kw[:, index],
            p_min_kw=self.p_min_kw[:, index],
            q_max_kvar=self.q_max_kvar[:, index],
            q_min_kvar=self.q_min_kvar[:, index],
        )

    def hour(self, index: int) -> "Boxes":
        """One hour of it, still ``(N, 1)``."""
        return self.hours(slice(index, index + 1))

    def within_p(self, p_min_kw: Floats, p_max_kw: Floats) -> "Boxes":
        """Intersection with further limits on the active power."""
        return replace(
            self,
            p_max_kw=np.minimum(self.p_max_kw, p_max_kw),
            p_min_kw=np.maximum(self.p_min_kw, p_min_kw),
        )

    def width_kw(self) -> Floats:
        """Width of each box in active power, ``(N, T)``."""
        return self.p_max_kw - self.p_min_kw


@dataclass(frozen=True, kw_only=True, eq=False)
class Offer:
    """What is shared out: boxes that are granted anyway, and what may come on top of them.

    Extents (see :meth:`Boxes.of_extent`) are ``base + share * width``; a participant's two upper
    sides (p_max, q_max) have one share, its two lower ones another.

    Parameters
    ----------
    base, width
        ``(4 N, T)``.
    least, most
        ``(2 N, T)`` range of the shares: upper sides, then lower sides.
    sure
        ``(4 N, T)`` how far the upper sides may be drawn in below ``base`` by counting on load
        that is sure to be there; zero where nothing is.
    spare
        ``(4 N, T)`` what takes the room that nobody asked for, in proportion (load).
    """

    base: Floats
    width: Floats
    least: Floats
    most: Floats
    sure: Floats
    spare: Floats

    def extent(self, share: Floats) -> Floats:
        """Extents ``(4 N, T)`` of shares ``(2 N, T)``."""
        return np.asarray(self.base + spread(share) * self.width)


def spread(share: Floats) -> Floats:
    """Shares of upper and lower sides ``(2 N, T)`` for all four sides ``(4 N, T)``."""
    return np.concatenate([share, share])


@dataclass(frozen=True, kw_only=True, eq=False)
class Wishes:
    """What participants have and want, all ``(N, T)`` and, but for loads, not negative.

    Parameters
    ----------
    load_kw, load_kvar
        Expected net consumption that nobody can change.
    margin_kw
        Its margin to both sides.
    export_kw, import_kw
        What flexible resources could inject or draw at most (contract or capability).
    q_up_kvar, q_down_kvar
        The same for their reactive power; None: they have none to trade.
    """

    load_kw: Floats
    load_kvar: Floats
    margin_kw: Floats
    export_kw: Floats
    import_kw: Floats
    q_up_kvar: Floats | None = None
    q_down_kvar: Floats | None = None

    @property
    def reactive_share(self) -> Floats:
        """Reactive load per kW of load; zero where there is no load."""
        floor = np.maximum(np.abs(self.load_kw), 1e-9)
        return np.where(np.abs(self.load_kw) > 1e-9, self.load_kvar / floor, 0.0)

    def firm(self) -> Boxes:
        """Boxes of firm load and generation with their margins."""
        low, high = self.load_kw - self.margin_kw, self.load_kw + self.margin_kw
        sure, most = np.maximum(low, 0.0), np.maximum(high, 0.0)
        ratio = self.reactive_share
        corners = np.stack([-sure * ratio, -most * ratio, np.zeros_like(sure)])
        return Boxes(
            p_max_kw=np.maximum(-low, 0.0),
            p_min_kw=-most,
            q_max_kvar=corners.max(axis=0),
            q_min_kvar=corners.min(axis=0),
        )

    def offer(self, *, count_on_load: bool) -> Offer:
        """What the operator shares out: firm boxes, and wishes on top.

        With ``count_on_load``, load that is sure to be there may be credited to exports.
        """
        firm = self.firm()
        nothing = np.zeros_like(self.load_kw)
        q_up = nothing if self.q_up_kvar is None else self.q_up_kvar
        q_down = nothing if self.q_down_kvar is None else self.q_down_kvar
        shares = np.zeros((2 * len(nothing), nothing.shape[1]))
        sure = np.maximum(self.load_kw - self.margin_kw, 0.0) if count_on_load else nothing
        sure_kvar = np.maximum(sure * self.reactive_share, 0.0)
        return Offer(
            base=firm.extent,
            width=np.concatenate([self.export_kw, self.import_kw, q_up, q_down]),
            least=shares,
            most=shares + 1.0,
            sure=np.concatenate([sure, nothing, sure_kvar, nothing]),
            spare=np.concatenate([nothing, -firm.p_min_kw, nothing, -firm.q_min_kvar]),
        )

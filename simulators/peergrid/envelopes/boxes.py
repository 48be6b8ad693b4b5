"""The envelope itself: one box of active and reactive injection per participant and hour."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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

    def hour(self, index: int) -> "Boxes":
        """One hour of it, still ``(N, 1)``."""
        cut = slice(index, index + 1)
        return Boxes(
            p_max_kw=self.p_max_kw[:, cut],
            p_min_kw=self.p_min_kw[:, cut],
            q_max_kvar=self.q_max_kvar[:, cut],
            q_min_kvar=self.q_min_kvar[:, cut],
        )

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
class Wishes:
    """What the envelopes are allocated from, all ``(N, T)`` and not negative.

    Parameters
    ----------
    load_kw, load_kvar
        Expected net consumption that nobody can change.
    margin_kw
        Its margin to both sides.
    export_kw, import_kw
        What flexible resources could inject or draw at most (contract or capability); the
        allocation is proportional to it.
    """

    load_kw: Floats
    load_kvar: Floats
    margin_kw: Floats
    export_kw: Floats
    import_kw: Floats

    @property
    def reactive_share(self) -> Floats:
        """Reactive load per kW of load; zero where there is no load."""
        floor = np.maximum(np.abs(self.load_kw), 1e-9)
        return np.where(np.abs(self.load_kw) > 1e-9, self.load_kvar / floor, 0.0)

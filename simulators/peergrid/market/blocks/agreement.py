"""The operator's side of the negotiation of envelopes, as a coupling block.

It sees each position twice, once for each side of the box, and answers with the nearest positions
that fit, with their margins, into boxes which keep its rows. Extents that are not needed cost
nothing, so this is a projection of the wanted extents onto the rows
(:mod:`peergrid.polyhedron`), exact, hour by hour.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.market.trading import Agreement
from peergrid.polyhedron import Nearest, columns_of, nearest

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnvelopeAgreement:
    """Coupling rows: positions for their upper sides, and again for their lower ones.

    With reactive trade the order is active upper, active lower, reactive upper, reactive lower.

    Parameters
    ----------
    rows, offset_kw
        ``(2 X, A)`` and ``(2 X, T)``: positions caused by the agents, firm injections included.
    sign
        ``(2 X,)`` 1 for upper sides, -1 for lower ones.
    size_kw
        ``(2 X,)`` typical position, for scaling.
    position
        ``(2 X,)`` which position each row is.
    terms
        The operator's rows, margins and what is granted.
    """

    rows: Floats
    offset_kw: Floats
    sign: Floats
    size_kw: Floats
    position: NDArray[np.int64]
    terms: Agreement

    @cached_property
    def _columns(self) -> NDArray[np.int64]:
        return columns_of(self.terms.demand)

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Nearest positions that the rows allow, ``(2 X, T)``."""
        wanted = self.wanted(target_kw)
        met = self.met(wanted, weight_eur_per_kw2)
        return np.asarray(target_kw - self.sign[:, None] * np.maximum(wanted - met.x, 0.0))

    def wanted(self, position_kw: Floats) -> Floats:
        """Extents that positions with their margins need."""
        return np.asarray(self.sign[:, None] * position_kw + self.terms.margin)

    def met(self, wanted: Floats, weight: Floats) -> Nearest:
        """Extents nearest to the wanted ones that keep the rows, and what the rows are worth."""
        terms = self.terms
        most = np.maximum(terms.least, terms.most)
        # what is granted anyway costs nothing; what is beyond contracts still pulls
        pulled = np.maximum(wanted, terms.least)
        return nearest(pulled, weight, terms.demand, terms.limit, terms.least, most, self._columns)

    def support(self, price_eur_per_kwh: Floats, position_kw: Floats) -> float:
        """Least of ``-price * positions`` over what is allowed [EUR/h].

        At the block's own last proposal, which its price is normal to, it is attained.
        """
        return -float((price_eur_per_kwh * position_kw).sum())

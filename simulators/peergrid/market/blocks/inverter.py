"""Active and reactive power that limit each other, as a coupling block.

Where apparent power or power factor limit both, a resource answers with a second proposal
``(p, q)`` inside ``{p^2 + q^2 <= S^2, |q| <= tan(phi) |p|}``, the nearest to what it is asked, and
the coupling draws both proposals together. The projections are closed: onto the cone of the power
factor (for each sign of p), then radially onto the disc. A resource that may both inject and draw
under a power factor has a set that is not convex (a bow tie); the bound uses its hull.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.reactive import Reactive

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Inverters:
    """Coupling block of the second proposals: active powers of J inverters, then reactive ones.

    ``rows`` ``(2 J, A)`` select the first proposals; ``reactive`` holds J rows.
    """

    rows: Floats
    offset_kw: Floats
    size_kw: Floats
    reactive: Reactive

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Nearest ``(p, q)`` inside the capability; both rows of an inverter weigh the same."""
        p, q = np.split(target_kw, 2)
        slope, most = self.reactive.tan_phi[:, None], self.reactive.apparent_kva[:, None]
        with np.errstate(invalid="ignore"):
            outside = np.isfinite(slope) & (np.abs(q) > slope * np.abs(p))
            along = (np.abs(p) + slope * np.abs(q)) / (1.0 + slope**2)
            p = np.where(outside, np.where(p < 0.0, -along, along), p)
            q = np.where(outside, np.sign(q) * slope * along, q)
        with np.errstate(divide="ignore"):
            shrink = np.minimum(1.0, most / np.hypot(p, q))
        return np.vstack([p * shrink, q * shrink])

    def support(self, price_eur_per_kwh: Floats) -> float:
        """Least of ``-price * (p, q)`` over the capability [EUR/h]."""
        own = self.reactive
        on_p, on_q = np.split(price_eur_per_kwh, 2)
        with np.errstate(invalid="ignore"):
            disc = own.apparent_kva[:, None] * np.hypot(on_p, on_q)
            worth = [
                on_p * p + own.tan_phi[:, None] * np.abs(on_q * p)
                for p in (own.p_min_kw, own.p_max_kw)
            ]
        cone = np.maximum(*worth)
        disc, cone = (np.where(np.isnan(part), np.inf, part) for part in (disc, cone))
        return -float(np.minimum(disc, cone).sum())

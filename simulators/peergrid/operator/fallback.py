"""What happens when a step fails: stated, recorded, safe.

When envelopes cannot be computed for an hour (no power flow solution at a corner), the last agreed
box shrunk to the firm load takes their place. When the market cannot be cleared, nobody trades:
everyone keeps to what they would do anyway and settles with the retailer as imbalance.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes, Wishes

Floats = NDArray[np.float64]


def firm_boxes(wishes: Wishes, agreed: Boxes | None) -> Boxes:
    """Last agreed box shrunk to firm load and its margin, ``(N, T)``.

    Firm load stays inside in any case; nothing beyond it is promised.
    """
    firm = wishes.firm()
    if agreed is None:
        return firm
    most = np.maximum(agreed.p_max_kw[:, :1], -wishes.load_kw)
    return replace(firm, p_max_kw=np.minimum(firm.p_max_kw, most))


def patch(boxes: Boxes, safe: Boxes, failed: NDArray[np.bool_]) -> Boxes:
    """Replace the hours ``failed`` ``(T,)`` by the safe boxes."""
    return replace(
        boxes,
        **{
            name: np.where(failed, getattr(safe, name), getattr(boxes, name))
            for name in ("p_max_kw", "p_min_kw", "q_max_kvar", "q_min_kvar")
        },
    )

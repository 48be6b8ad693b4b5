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
    high = np.maximum(-(wishes.load_kw - wishes.margin_kw), 0.0)
    low = np.minimum(-(wishes.load_kw + wishes.margin_kw), 0.0)
    if agreed is not None:
        high = np.minimum(high, np.maximum(agreed.p_max_kw[:, :1], -wishes.load_kw))
    reactive = -(np.abs(wishes.load_kw) + wishes.margin_kw) * wishes.reactive_share
    zero = np.zeros_like(reactive)
    return Boxes(
        p_max_kw=high,
        p_min_kw=low,
        q_max_kvar=np.maximum(reactive, zero),
        q_min_kvar=np.minimum(reactive, zero),
    )


def patch(boxes: Boxes, safe: Boxes, failed: NDArray[np.bool_]) -> Boxes:
    """Replace the hours ``failed`` ``(T,)`` by the safe boxes."""
    return replace(
        boxes,
        **{
            name: np.where(failed, getattr(safe, name), getattr(boxes, name))
            for name in ("p_max_kw", "p_min_kw", "q_max_kvar", "q_min_kvar")
        },
    )

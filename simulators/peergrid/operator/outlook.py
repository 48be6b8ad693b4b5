"""From what is not known to the scenarios that a plan is made for."""

import numpy as np

from peergrid.inputs.scenarios import Doubt, Unsure, draw
from peergrid.market.stochastic_build import Outlook


def look_ahead(
    unsure: Unsure, scenarios: int, rng: np.random.Generator, doubt: Doubt | None = None
) -> Outlook:
    """Scenarios of the steps to come; with a single one the forecast comes true.

    Vehicles are late or early by an hour, or by a step that is longer.
    """
    resources, steps = unsure.forecast_kw.shape
    if scenarios == 1:
        return Outlook.certain(resources, steps)
    drawn = draw(unsure, scenarios, rng, doubt=doubt)
    return Outlook(
        probability=drawn.probability,
        error_kw=drawn.error_kw,
        price_factor=drawn.price_factor,
        shift=drawn.late_h * max(round(1.0 / unsure.step_h), 1),
    )

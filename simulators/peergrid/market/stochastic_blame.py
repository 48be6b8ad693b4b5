"""Why nothing keeps what a day demands: the household, the device and the hour."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.market import stochastic_terms
from peergrid.market.stochastic_problem import Households
from peergrid.milp.algebra import Algebra, Expression
from peergrid.milp.model import Limits, Model, Variables
from peergrid.milp.solve import solve

Floats = NDArray[np.float64]
TRIFLE_KW = 1e-6
ENOUGH = Limits(gap=0.1, time_limit_s=60.0)  # who lacks power, not how to lack the least


def blame(day: Households) -> DataError | None:
    """Who lacks how much power when, in the plan that lacks the least; None: nobody does.

    Energies fall short at a price and limits of the network are soft, so what is left is a
    household that may not draw, or inject, what its devices must.
    """
    blocks = stochastic_terms.blocks(day, exclusive=False)
    answer = solve(
        Model(
            blocks={**blocks, **stochastic_terms.lacking_blocks(day)},
            terms=[partial(term, day) for term in stochastic_terms.TERMS],
            costs=[_lacking],
        ),
        ENOUGH,
    )
    lacking, spilled = answer.values["lacking"], answer.values["spilled"]
    total = lacking + spilled
    if total.max(initial=0.0) <= TRIFLE_KW:
        return None
    i, column = (int(place) for place in np.unravel_index(int(total.argmax()), total.shape))
    t = int(day.step[column])
    drawn = day.appliances.drawn_kw(answer.values["start"])
    draws = bool(lacking[i, column] > spilled[i, column])
    limit = day.import_limit_kw if draws else day.export_limit_kw
    may = day.may_buy[i] if draws else day.may_sell[i]
    return DataError(
        f"household {day.names[i]}, {_device(day, i, t, drawn if draws else 0.0 * drawn)}, "
        f"step {t + 1} of {day.shape[2]} ({t * day.dt_h:g} h from the start)",
        "import_limit_kw" if draws else "export_limit_kw",
        float(np.broadcast_to(limit, (day.shape[0], day.shape[2]))[i, t]) if may else "no right",
        f"{total[i, column]:.6g} kW more, or fewer demands in this hour",
    )


def _lacking(x: Variables, of: Algebra) -> Expression:
    return x["lacking"] + x["spilled"]


def _device(day: Households, household: int, step: int, drawn_kw: Floats) -> str:
    """What of a household draws most in a step: an appliance, or else its other devices."""
    appliances = day.appliances
    mine = np.flatnonzero((appliances.owner == household) & (drawn_kw[:, step] > TRIFLE_KW))
    if len(mine):
        return appliances.names[int(mine[drawn_kw[mine, step].argmax()])]
    owned = zip(
        day.stores.names + day.plants.names, (*day.stores.owner, *day.plants.owner), strict=True
    )
    names = [name for name, owner in owned if owner == household]
    return ", ".join(names) or "firm load"

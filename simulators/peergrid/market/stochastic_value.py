"""What planning under uncertainty is worth, and what knowing the future would be worth.

J. R. Birge and F. Louveaux, "Introduction to Stochastic Programming", 2nd ed., 2011, chapter 4. All
of them minimise: ``wait and see <= stochastic <= mean value``.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.market.stochastic import Settings, plan
from peergrid.market.stochastic_plan import Plan
from peergrid.market.stochastic_problem import Households

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Value:
    """Expected costs of three ways to decide; each is exact to the gap of the solver.

    Parameters
    ----------
    cost_eur
        Of the plan that knows the scenarios.
    wait_and_see_eur
        If the scenario were known before anything is decided.
    mean_value_eur
        If the first stage is decided for the mean of the scenarios and has to do for all of them;
        infinite where it cannot.
    """

    cost_eur: float
    wait_and_see_eur: float
    mean_value_eur: float

    @property
    def vss_eur(self) -> float:
        """Value of the stochastic solution: what planning with scenarios saves."""
        return self.mean_value_eur - self.cost_eur

    @property
    def evpi_eur(self) -> float:
        """Expected value of perfect information: what a perfect forecast would save."""
        return self.cost_eur - self.wait_and_see_eur

    @property
    def vss_share(self) -> float:
        """VSS relative to the cost of the plan."""
        return self.vss_eur / abs(self.cost_eur)

    @property
    def evpi_share(self) -> float:
        """EVPI relative to the cost of the plan."""
        return self.evpi_eur / abs(self.cost_eur)


def value(day: Households, settings: Settings | None = None) -> Value:
    """Plan a day in all three ways.

    Network rows stay as they are (no corrections), so that the three solve the same programme.
    """
    settings = replace(settings or Settings(), corrections=0)
    stochastic = plan(day, settings)
    return Value(
        cost_eur=stochastic.cost_eur,
        wait_and_see_eur=wait_and_see(day, settings),
        mean_value_eur=_mean_value(day, settings),
    )


def wait_and_see(day: Households, settings: Settings) -> float:
    """Expected cost if each scenario is planned alone [EUR]."""
    costs = [plan(alone(day, s), settings, refuses=False).cost_eur for s in range(day.shape[1])]
    return float(day.probability @ np.array(costs))


def _mean_value(day: Households, settings: Settings) -> float:
    """Expected cost of the first stage that is best for the mean scenario [EUR]."""
    first: Plan = plan(mean(day), settings, refuses=False)
    try:
        return plan(day, settings, first_stage=first.first_stage).cost_eur
    except SolverError:
        return np.inf


def alone(day: Households, scenario: int) -> Households:
    """The day with one scenario for certain."""
    return _averaged(day, np.eye(day.shape[1])[scenario])


def mean(day: Households) -> Households:
    """The day with the mean of its scenarios for certain.

    Where a vehicle may be late, its power is cut to the share of scenarios in which it is there.
    """
    return _averaged(day, day.probability)


def _averaged(day: Households, weight: Floats) -> Households:
    """One scenario: the weighted sum of all."""

    def of(values: Floats) -> Floats:
        summed = np.einsum("...st,s->...t", np.asarray(values), weight)
        return np.asarray(summed[..., None, :])

    plants, stores = day.plants, day.stores
    plants = replace(plants, low_kw=of(plants.low_kw), high_kw=of(plants.high_kw))
    stores = replace(
        stores,
        charge_kw=of(stores.charge_kw),
        discharge_kw=of(stores.discharge_kw),
        demand_kwh=of(stores.demand_kwh),
        e_min_kwh=of(stores.e_min_kwh),
        e_max_kwh=of(stores.e_max_kwh),
    )
    wires = day.wires
    if wires is not None:
        expected = of(wires.expected_kw), of(wires.expected_kvar)
        wires = replace(wires, expected_kw=expected[0], expected_kvar=expected[1])
    return replace(
        day,
        probability=np.ones(1),
        firm_kw=of(day.firm_kw),
        firm_kvar=of(day.firm_kvar),
        price_import_eur_per_kwh=of(day.price_import_eur_per_kwh),
        price_feed_in_eur_per_kwh=of(day.price_feed_in_eur_per_kwh),
        plants=plants,
        stores=stores,
        wires=wires,
    )

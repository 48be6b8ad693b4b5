"""From one clearing to the next: what is kept, and how it fits other envelopes.

Prices are kept by what they are of, not by row, so a clearing inside given envelopes starts where
one with negotiated envelopes ended, and the other way round.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from peergrid.market.result import Warm
from peergrid.market.setup import Setup, rho_of

Floats = NDArray[np.float64]


def warm_of(setup: Setup, proposal: Floats, price: Floats) -> Warm:
    """What the next clearing may start from: proposals ``(A, T)`` and prices of all rows."""
    limits = np.zeros_like(setup.problem.positions[1])
    np.add.at(limits, setup.boxes.position, price[setup.rows_of(setup.boxes)])
    if setup.agreement is not None:
        np.add.at(limits, setup.agreement.position, price[setup.rows_of(setup.agreement)])
    none = np.empty((0, price.shape[1]))
    warm = Warm(
        schedule_kw=proposal,
        price_eur_per_kwh=price[: setup.coupling.agents],
        balance_eur_per_kwh=price[setup.balance_rows],
        reactive_eur_per_kwh=none
        if setup.reactive is None
        else price[setup.rows_of(setup.reactive)],
        limits_eur_per_kwh=limits,
        inverters_eur_per_kwh=price[setup.rows_of(setup.inverters)],
        losses_eur_per_kwh=none if setup.losses is None else price[setup.rows_of(setup.losses)],
        rho=rho_of(setup.settings, setup.network),
    )
    if setup.network is None:
        return warm
    mu, kappa = setup.network.multipliers(price[setup.balance_rows.stop :])
    return replace(warm, mu_eur_per_pu2=mu, kappa_eur_per_pu2=kappa)


def fits(setup: Setup, warm: Warm) -> bool:
    """Whether a warm start has the shapes of this problem and holds numbers."""
    proposal = setup.coupling.agents, setup.problem.firm_kw.shape[1]
    balance = len(setup.balance.rows), proposal[1]
    wanted = ((warm.schedule_kw, proposal), (warm.price_eur_per_kwh, proposal))
    return all(
        part.shape == shape and bool(np.isfinite(part).all())
        for part, shape in (*wanted, (warm.balance_eur_per_kwh, balance))
    )


def prices_of(setup: Setup, warm: Warm) -> Floats:
    """Prices of all rows up to the balance; zero where the warm start knows none."""
    price = np.zeros((setup.balance_rows.stop, setup.problem.firm_kw.shape[1]))
    price[: setup.coupling.agents] = warm.price_eur_per_kwh
    price[setup.balance_rows] = warm.balance_eur_per_kwh
    for block, known in (
        (setup.inverters, warm.inverters_eur_per_kwh),
        (setup.reactive, warm.reactive_eur_per_kwh),
        (setup.losses, warm.losses_eur_per_kwh),
    ):
        if block is not None and known.shape == price[setup.rows_of(block)].shape:
            price[setup.rows_of(block)] = known
    limits = warm.limits_eur_per_kwh
    if limits.shape != setup.problem.positions[1].shape:
        return price
    price[setup.rows_of(setup.boxes)] = limits[setup.boxes.position]
    if setup.agreement is not None:
        sign = setup.agreement.sign[:, None]
        own = limits[setup.agreement.position]
        price[setup.rows_of(setup.agreement)] = sign * np.maximum(sign * own, 0.0)
    return price

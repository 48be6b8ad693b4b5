"""The first iterate, and which limits of the network to watch from then on."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import ModelError
from peergrid.market import admm
from peergrid.market.blocks.ac_network import Seen, near_limits, watch_of
from peergrid.market.result import Warm
from peergrid.market.setup import Setup, couple
from peergrid.market.warm import fits, prices_of

Floats = NDArray[np.float64]


def start(setup: Setup, warm: Warm | None) -> tuple[Setup, admm.State]:
    """Warm start, or the reference schedule with everyone priced at the import price."""
    problem, steps = setup.problem, setup.problem.firm_kw.shape[1]
    if warm is not None and not fits(setup, warm):
        warm = None
    if warm is None:
        y, price = problem.agents.reference_kw(), np.zeros((setup.balance_rows.stop, steps))
        price[: len(problem.owner)] = problem.price_import_eur_per_kwh
        price[setup.balance_rows] = setup.balance.first_price
    else:
        y, price = warm.schedule_kw, prices_of(setup, warm)
    if setup.network is None:
        values = np.vstack([y, setup.coupling.rows_at(y)])
        return setup, admm.start(setup.coupling, values, price, problem.dt_h)
    seen = setup.network.observe(y, None)
    keys = near_limits(setup.network.grid, seen.state)
    mu, kappa = np.zeros_like(seen.state.v), np.zeros_like(seen.state.v)
    if warm is not None and warm.mu_eur_per_pu2.shape == mu.shape:
        mu, kappa = warm.mu_eur_per_pu2, warm.kappa_eur_per_pu2
        keys |= _bound(mu, is_current=False) | _bound(kappa, is_current=True)
    at = np.vstack([y, setup.coupling.rows_at(y), seen.values_kw[:1]])
    return _watching(setup, at, price, seen, keys, (mu, kappa))


def _bound(multiplier: Floats, *, is_current: bool) -> set[tuple[bool, int, int]]:
    rows, hours = np.nonzero(multiplier)
    return {(is_current, r, h) for r, h in zip(rows.tolist(), hours.tolist(), strict=True)}


def _watching(
    setup: Setup,
    rows_kw: Floats,
    price: Floats,
    seen: Seen,
    keys: set[tuple[bool, int, int]],
    multipliers: tuple[Floats, Floats],
) -> tuple[Setup, admm.State]:
    """The iteration with these limits watched, started where its other rows stand."""
    if setup.network is None:
        raise ModelError("only an AC network watches limits")
    problem = setup.problem
    watch = watch_of(setup.network.grid, keys, problem.firm_kw.shape[1])
    network = setup.network.watching(watch, seen.state)
    coupled = couple(problem, setup.settings, setup.coupling.blocks, network)
    values = np.vstack([rows_kw, network.watched_kw(seen.state)])
    prices = np.vstack([price, network.slot_prices(*multipliers)])
    state = admm.start(coupled, values, prices, problem.dt_h)
    return replace(setup, network=network, coupling=coupled), replace(state, seen=seen)


def watch_more(setup: Setup, state: admm.State) -> tuple[Setup, admm.State]:
    """Also watch limits that are broken and not watched; renew slopes that are out of date."""
    network = setup.network
    if network is None:
        return setup, state
    watched = network.watch.keys()
    keys = set(watched)
    if state.violation_pu > setup.settings.tolerance_pu:
        keys |= near_limits(network.grid, state.seen.state)
    if keys == watched and not network.is_stale(state.seen.state):
        return setup, state
    rows = setup.balance_rows.stop
    price = admm.prices(state, setup.coupling, setup.problem.dt_h)
    multipliers = network.multipliers(price[rows:])
    at = state.projection[:rows]
    setup, begun = _watching(setup, at, price[:rows], state.seen, keys, multipliers)
    return setup, replace(begun, iteration=state.iteration, history=state.history)

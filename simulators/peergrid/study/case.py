"""From a file of energy communities to a feeder, private problems, margins and contracts."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes, Offer
from peergrid.envelopes.limits import Limits, Network, limits_of
from peergrid.envelopes.margins import gaussian
from peergrid.errors import DataError
from peergrid.inputs.communities import Communities
from peergrid.market.problem import Problem
from peergrid.market.trading import ReactiveTrade
from peergrid.network.feeder import Feeder
from peergrid.network.library import load_feeder
from peergrid.network.linear import lindistflow, path_ohm
from peergrid.operator.negotiate import Room
from peergrid.study.errors import Errors
from peergrid.study.resources import resources
from peergrid.units import kw_from_mw, mw_from_kw

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
NO_CONTRACT_KW = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A day of N communities on a feeder of n buses, ready for any method.

    Parameters
    ----------
    name
        Of the feeder.
    network
        The operator's model and limits.
    at
        ``(N,)`` feeder rows of the communities.
    background
        Feeder load ``(n, T)`` as injections [kW, kvar].
    problem
        Private problems, trades, prices; no envelopes.
    contract
        ``(4 N, T)`` largest extents (see :meth:`Boxes.of_extent`) that contracts allow.
    margin
        ``(4 N, T)`` by how much injections may exceed what is scheduled, to each side.
    errors
        What forecasts may be off by.
    """

    name: str
    network: Network
    at: Indices
    background: tuple[Floats, Floats]
    problem: Problem
    contract: Floats
    margin: Floats
    errors: Errors

    @property
    def alone(self) -> Problem:
        """Everybody alone with the retailer, for both goods."""
        pools = np.arange(len(self.at), dtype=np.int64)
        return replace(self.problem, fee_eur_per_kwh=None, pool=pools)

    @cached_property
    def firm(self) -> tuple[Floats, Floats]:
        """Injections ``(N, T)`` that nobody can change [kW, kvar]."""
        trade = self.problem.reactive
        firm_kw = self.problem.firm_kw
        return firm_kw, np.zeros_like(firm_kw) if trade is None else trade.firm_kvar

    @cached_property
    def least_share(self) -> Floats:
        """Shares ``(2 N, T)`` of the contracts that leave room for firm load and its margin."""
        nothing, sides = np.zeros_like(self.firm[0]), 2 * len(self.at)
        needed = np.concatenate([nothing, -self.firm[0], nothing, -self.firm[1]])
        needed = np.where(needed > 0.0, needed + self.margin, 0.0)
        share = needed / np.maximum(self.contract, NO_CONTRACT_KW)
        return np.asarray(np.maximum(share[:sides], share[sides:]))

    @cached_property
    def room(self) -> Room:
        """Margins, what is granted in any case, and what contracts allow."""
        share = np.concatenate([self.least_share, self.least_share])
        return Room(
            margin=self.margin,
            least=share * self.contract,
            most=np.maximum(share, 1.0) * self.contract,
        )

    @cached_property
    def limits(self) -> Limits:
        """Effective limits of the day."""
        return limits_of(self.network, self.at, Boxes.of_extent(self.room.least), self.background)

    @property
    def offer(self) -> Offer:
        """What a DOE shares out: contracts, of which firm load takes its share first."""
        nothing = np.zeros_like(self.room.most)
        return Offer(
            base=nothing,
            width=self.room.most,
            least=self.least_share,
            most=np.maximum(self.least_share, 1.0),
            sure=nothing,
            spare=nothing,
        )

    def promising(self, margin: Floats, confidence: float) -> "Case":
        """The same day with other margins ``(4 N, T)``, and another confidence of the operator."""
        network = replace(self.network, confidence=confidence)
        return replace(self, margin=margin, network=network)


def build_case(data: Communities, feeder: Feeder | None = None) -> Case:
    """Translate a file.

    Parameters
    ----------
    data
        The file.
    feeder
        Instead of the library feeder that it names.
    """
    feeder = (feeder or load_feeder(data.network.case)).with_slack(data.network.slack_pu)
    feeder = rated(feeder, data.network.current_limit_a)
    at = np.array([feeder.index_of(c.bus) for c in data.community], dtype=np.int64)
    errors = _errors(data)
    profile = np.round(np.array(data.network.load_profile) * data.network.load_profile_scale, 4)
    return Case(
        name=feeder.name,
        network=_network(data, feeder),
        at=at,
        background=(
            -feeder.p_load_kw[:, None] * profile,
            -feeder.q_load_kvar[:, None] * profile,
        ),
        problem=_problem(data, path_ohm(feeder, at)),
        contract=_contract(data),
        margin=symmetric(errors.sigma, data.uncertainty.confidence),
        errors=errors,
    )


def symmetric(sigma: tuple[Floats, Floats], confidence: float) -> Floats:
    """Gaussian margins ``(4 N, T)`` from standard deviations ``(N, T)`` of p and q."""
    return np.concatenate([np.tile(gaussian(part, confidence), (2, 1)) for part in sigma])


def rated(feeder: Feeder, limits_a: dict[str, float]) -> Feeder:
    """The feeder with current limits by number of the line: "default", "7" or "7-12" [A]."""
    if not limits_a:
        return feeder
    rating = feeder.i_max_ka.copy()
    number = np.arange(feeder.n_bus)
    order = np.argsort(feeder.branch_index[1:]) + 1
    number[order] = np.arange(1, feeder.n_bus)
    rating[1:] = mw_from_kw(limits_a.get("default", np.inf))
    for key, amps in limits_a.items():
        if key == "default":
            continue
        first, _, last = key.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise DataError("network", "current_limit_a", key, "default, a number, or first-last")
        chosen = (number >= int(first)) & (number <= int(last or first)) & (number > 0)
        rating[chosen] = mw_from_kw(amps)
    return replace(feeder, i_max_ka=rating, i_max_parent_ka=np.empty(0))


def _network(data: Communities, feeder: Feeder) -> Network:
    own = data.uncertainty.feeder_load_sigma
    return Network(
        feeder=feeder,
        model=lindistflow(feeder),
        v_min_pu=data.network.v_min_pu,
        v_max_pu=data.network.v_max_pu,
        rise_pu=data.network.rise_limit_pu,
        load_sigma=own.each,
        common_sigma=own.common,
        confidence=data.uncertainty.confidence,
    )


def _rows(data: Communities, name: str, profile: list[float]) -> Floats:
    """Power of all communities over the day, ``(N, T)`` [kW]."""
    power = np.array([getattr(c, name) for c in data.community])
    return kw_from_mw(power[:, None] * np.array(profile))


def _errors(data: Communities) -> Errors:
    """Standard deviations by kind, and how they hang together."""
    known, common = data.uncertainty, data.common
    sigma_kw = {
        "pv": known.sigma_pv * _rows(data, "pv", common.pv_profile),
        "wind": known.sigma_wind * _rows(data, "wind", common.wind_profile),
        "load": known.sigma_load * _rows(data, "load", common.load_profile),
    }
    shared = {str(kind): share for kind, share in known.correlation.items()}
    return Errors(
        sigma_kw=sigma_kw,
        correlation={kind: shared.get(kind, 0.0) for kind in sigma_kw},
        tan_phi=common.tan_phi,
        feeder_each=known.feeder_load_sigma.each,
        feeder_common=known.feeder_load_sigma.common,
    )


def _contract(data: Communities) -> Floats:
    """Largest extents ``(4 N, T)``: export, import, reactive up and down [kW, kvar]."""
    rules, up, down, q_up, q_down = data.common, [], [], [], []
    for c in data.community:
        plants = c.pv + c.wind
        up.append(plants + c.generator.p + c.battery.p)
        down.append(c.load + c.flexible + c.battery.p)
        q_up.append(rules.generator_q.up * c.generator.p + rules.inverter_q.share * plants)
        q_down.append(
            rules.tan_phi * (c.load + c.flexible) + rules.generator_q.down * c.generator.p
        )
    extent = kw_from_mw(np.array([*up, *down, *q_up, *q_down]))
    return np.repeat(extent[:, None], data.hours, axis=1)


def _problem(data: Communities, ohm: Floats) -> Problem:
    """Resources, tariffs and fees; ``ohm`` is the resistance of the path between two buses."""
    prices = data.prices
    load = _rows(data, "load", data.common.load_profile)
    agents, owner = resources(data)
    free, ones = np.full(load.shape, np.inf), np.ones(data.hours)
    fees = mw_from_kw(prices.p2p_fee.fixed + prices.p2p_fee.per_ohm * ohm)
    np.fill_diagonal(fees, 0.0)
    return Problem(
        agents=agents,
        owner=owner,
        pool=np.zeros(len(load), dtype=np.int64),
        firm_kw=-load,
        price_import_eur_per_kwh=mw_from_kw(np.array(prices.buy)),
        price_feed_in_eur_per_kwh=mw_from_kw(prices.sell) * ones,
        box_min_kw=-free,
        box_max_kw=free,
        fee_eur_per_kwh=fees,
        reactive=ReactiveTrade(
            firm_kvar=-data.common.tan_phi * load,
            price_import_eur_per_kvarh=mw_from_kw(prices.reactive_buy) * ones,
            price_feed_in_eur_per_kvarh=mw_from_kw(prices.reactive_sell) * ones,
            box_min_kvar=-free,
            box_max_kvar=free,
            fee_share=prices.p2p_fee_reactive,
        ),
    )

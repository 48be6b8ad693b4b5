"""A seeded day of a case, as the programme wants it."""

from dataclasses import dataclass, replace

import numpy as np

from peergrid.inputs.scenarios import Doubt, Unsure
from peergrid.inputs.tables import stream
from peergrid.market.stochastic_build import Outlook, devices_of
from peergrid.market.stochastic_problem import Households, Wires
from peergrid.network.library import load_feeder
from peergrid.operator.outlook import look_ahead
from peergrid.study.households.clients import Client, Sizes, clients
from peergrid.study.households.devices import Resource, resources
from peergrid.study.households.profiles import Profiles, profiles

FEEDER = "ieee119_branch"
FEE_EUR_PER_KWH = 0.012


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which day is wanted.

    Parameters
    ----------
    case, users, seed
        Of the clients and their profiles; see :func:`peergrid.study.households.clients.clients`.
    scenarios
        How many; 1: the forecast comes true.
    step_s
        Step length [s].
    fee_eur_per_kwh
        On trades between households.
    """

    case: int = 1
    users: int = 10
    seed: int = 0
    scenarios: int = 3
    step_s: int = 3600
    fee_eur_per_kwh: float = FEE_EUR_PER_KWH


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyDay:
    """A day with its clients, profiles, devices and programme."""

    asked: Asked
    clients: tuple[Client, ...]
    profiles: Profiles
    resources: tuple[Resource, ...]
    households: Households


def study_day(asked: Asked, sizes: Sizes | None = None, doubt: Doubt | None = None) -> StudyDay:
    """Make the day that is asked for."""
    sizes = sizes or Sizes()
    found = clients(asked.case, asked.users, sizes)
    day = profiles(found, seed=asked.seed, step_s=asked.step_s, sizes=sizes)
    owned = resources(found, day, sizes)
    outlook = _outlook(owned, asked, doubt)
    devices = devices_of(
        [resource.message for resource in owned],
        [resource.name for resource in owned],
        np.array([resource.owner for resource in owned]),
        outlook,
        len(found),
    )
    price = day.price_import_eur_per_kwh * outlook.price_factor
    households = Households(
        names=tuple(client.name for client in found),
        dt_h=asked.step_s / 3600.0,
        probability=outlook.probability,
        firm_kw=devices.firm_kw,
        firm_kvar=devices.firm_kvar,
        price_import_eur_per_kwh=price,
        price_feed_in_eur_per_kwh=np.minimum(day.price_feed_in_eur_per_kwh, price),
        fee_eur_per_kwh=asked.fee_eur_per_kwh,
        may_sell=np.array([client.may_sell for client in found]),
        may_buy=np.ones(len(found), dtype=bool),
        plants=devices.plants,
        stores=devices.stores,
        appliances=devices.appliances,
        curves=devices.curves,
        trades=any(client.trades for client in found),
    )
    return StudyDay(
        asked=asked,
        clients=found,
        profiles=day,
        resources=owned,
        households=replace(households, wires=_wires(found, households)),
    )


def _outlook(owned: tuple[Resource, ...], asked: Asked, doubt: Doubt | None) -> Outlook:
    """Scenarios of the day ahead."""
    unsure = Unsure(
        forecast_kw=np.stack([resource.message.p_ref_kw for resource in owned]),
        sigma_kw=np.stack([resource.sigma_kw for resource in owned]),
        kinds=tuple(resource.kind for resource in owned),
        travels=np.array([resource.travels for resource in owned]),
        step_h=asked.step_s / 3600.0,
    )
    return look_ahead(unsure, asked.scenarios, stream(asked.seed, "household scenarios"), doubt)


def _wires(found: tuple[Client, ...], day: Households) -> Wires:
    """The branch, around what is expected without storage."""
    feeder = load_feeder(FEEDER)
    nothing = np.zeros((feeder.n_bus, day.shape[2]))
    return Wires(
        feeder=feeder,
        at=np.array([feeder.index_of(client.bus) for client in found]),
        background_kw=nothing,
        background_kvar=nothing,
        expected_kw=day.without_storage_kw,
        expected_kvar=day.firm_kvar,
    )

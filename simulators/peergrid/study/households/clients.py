"""Who lives on the branch, and what they own: Table I of the published case, and our sizes.

S. F. Santos, J. T. R. A. Branco, G. J. Osório, J. P. S. Catalão, "Impact of P2P Market Transactions
on Distribution Network Congestion Considering Physical Constraints". The table says who owns what
and who may sell; every size is ours.
"""

from dataclasses import dataclass, replace
from typing import Literal

from peergrid.errors import DataError

CASES = (0, 1, 2)
BUSES = {f"w{k + 1}": bus for k, bus in enumerate(range(90, 100))}
"""Bus of each client, inferred: the paper's drawing cannot be read. w6 is the deepest."""

_EV = ("w1", "w3", "w4", "w5", "w7", "w8")
_ESS = ("w3", "w4", "w5", "w6", "w10")
_BUY_ONLY = ("w7", "w8", "w9")
_INDUSTRY = ("w2", "w9")
SCHOOL = "w10"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of what a client owns; a client stands for ``homes`` homes.

    All of it is ours: chosen so that on the base day costs, unit costs and the shares of PV and
    storage come out near the published ones (calibrated; other seeds are not). PV, storage and
    vehicles are per client, the school has its own; ``appliance_share`` of the homes run each of
    their machines on the day, ``hvac_share`` of them have cooling; what begins with ``home`` is
    one home.
    """

    homes: float = 100.0
    home_kwh_per_year: float = 3500.0
    school_kwh_per_day: float = 1100.0
    industry_kwh_per_day: float = 1000.0
    pv_kwp: float = 27.0
    school_pv_kwp: float = 54.0
    ess_kwh: float = 80.0
    school_ess_kwh: float = 150.0
    ess_hours: float = 3.0
    ev_count: float = 3.0
    ev_kwh: float = 50.0
    ev_kw: float = 7.4
    ev_trip_kwh: float = 7.0
    appliance_share: float = 0.12
    hvac_share: float = 0.08
    hvac_kw: float = 1.2
    hvac_cop: float = 3.0
    home_k_per_kw: float = 6.0
    home_kwh_per_k: float = 4.0
    home_gains_kw: float = 0.6
    comfort_c: tuple[float, float] = (19.0, 25.0)
    theta_start_c: float = 23.5


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client: what it is and what it owns.

    ``kind``: home (many alike homes), school, or industry. ``may_sell``: prosumers may, consumers
    may only buy. ``flexible``: appliances and HVAC.
    """

    name: str
    bus: int
    kind: Literal["home", "school", "industry"] = "home"
    ev: bool = False
    ess: bool = False
    pv: bool = False
    flexible: bool = False
    may_sell: bool = False
    trades: bool = False
    homes: float = 1.0


def clients(case: int, users: int = 10, sizes: Sizes | None = None) -> tuple[Client, ...]:
    """Clients of a case.

    Parameters
    ----------
    case
        0: consumers of today; 1: with PV, storage, vehicles and trades; 2: and two industries.
    users
        10, or a multiple: each client is then several smaller ones at the same bus.
    sizes
        For the number of homes.
    """
    if case not in CASES:
        raise DataError("households", "case", case, ", ".join(map(str, CASES)))
    if users < 10 or users % 10:
        raise DataError("households", "users", users, "10, 20, 30 and so on")
    copies = users // 10
    homes = (sizes or Sizes()).homes / copies
    found = []
    for copy in range(copies):
        suffix = "" if copies == 1 else f".{copy + 1}"
        for name, bus in BUSES.items():
            found.append(replace(_client(name, bus, case), name=f"{name}{suffix}", homes=homes))
    return tuple(found)


def _client(name: str, bus: int, case: int) -> Client:
    kind: Literal["home", "school", "industry"] = "school" if name == SCHOOL else "home"
    if case == 0:
        return Client(name=name, bus=bus, kind=kind)
    if case == 2 and name in _INDUSTRY:
        kind = "industry"
    return Client(
        name=name,
        bus=bus,
        kind=kind,
        ev=name in _EV,
        ess=name in _ESS,
        pv=True,
        flexible=True,
        may_sell=name not in _BUY_ONLY,
        trades=True,
    )

"""What the market simulator is created from: participants, feeder, prices and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.doe import OBJECTIVES
from peergrid.envelopes.limits import Network
from peergrid.errors import DataError
from peergrid.inputs.prices import Prices, Tariff, load_prices
from peergrid.inputs.span import HOUR_S, Span, parse_start
from peergrid.market.admm import Settings
from peergrid.market.settlement import RULES, Terms
from peergrid.network.feeder import Feeder
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import LIBRARY, load_feeder, resolve_network
from peergrid.network.linear import lindistflow, path_ohm
from peergrid.operator.community import (
    KINDS,
    MECHANISMS,
    Bystander,
    Community,
    Foresight,
    Participant,
    Rules,
)
from peergrid.units import mw_from_kw

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_TARIFF = ("retail_adder_eur_per_mwh", "feed_in_fee_eur_per_mwh", "feed_in_floor_eur_per_mwh")
_CHOICES: dict[str, tuple[str, ...]] = {
    "mechanism": MECHANISMS,
    "settlement": RULES,
    "losses_paid_by": ("operator", "participants"),
    "enforcement": ("hard", "soft"),
    "network": ("envelope", "ac", "none"),
}


def feeder_of(network: str, base_dir: Path, slack_vm_pu: float | None) -> Feeder:
    """The operator's model of the network a scenario names."""
    if network in LIBRARY:
        feeder = load_feeder(network)
    else:
        feeder = from_pandapower(resolve_network(network, base_dir=base_dir))
    return feeder if slack_vm_pu is None else feeder.with_slack(slack_vm_pu)


@dataclass(frozen=True, kw_only=True, eq=False)
class Members:
    """Who is at the market's door, in the order of its creation parameter.

    Parameters
    ----------
    participants, bystanders
        Those that take part, and those that only say what to expect of them.
    takes_part
        Which of the two each entry is.
    names, sides
        Name of each resource, and the sign of what it reports as ``P[MW]``.
    """

    participants: tuple[Participant, ...]
    bystanders: tuple[Bystander, ...]
    takes_part: tuple[bool, ...]
    names: tuple[str, ...]
    sides: Floats


def members_of(sid: str, entries: Sequence[Mapping[str, Any]], feeder: Feeder) -> Members:
    """Participants, bystanders and their resources."""
    members: list[Participant] = []
    others: list[Bystander] = []
    taking: list[bool] = []
    names: list[str] = []
    sides: list[float] = []
    for i, entry in enumerate(entries):
        field = f"participants[{i}]"
        unknown = set(entry) - {"name", "bus", "resources", "takes_part", *_RIGHTS}
        if unknown:
            allowed = "name, bus, resources, takes_part and rights"
            raise DataError(sid, field, sorted(unknown), allowed)
        if "bus" not in entry:
            raise DataError(sid, f"{field}.bus", None, "a bus of the network")
        row = feeder.index_of(int(entry["bus"]))
        own = []
        for resource in entry.get("resources", ()):
            side = resource.get("side", "generation")
            if side not in ("generation", "load"):
                raise DataError(sid, f"{field}.side", side, "generation or load")
            own.append(len(names))
            names.append(str(resource.get("name", f"Resource-{len(names)}")))
            sides.append(1.0 if side == "generation" else -1.0)
        rights = {key: entry[key] for key in _RIGHTS if entry.get(key) is not None}
        name = str(entry.get("name", f"bus-{entry['bus']}"))
        taking.append(bool(entry.get("takes_part", True)))
        if not taking[-1]:
            others.append(Bystander(name=name, row=row, resources=tuple(own)))
            continue
        members.append(
            Participant(
                name=name,
                bus=int(entry["bus"]),
                resources=tuple(own),
                **rights,
            )
        )
    if not members:
        raise DataError(sid, "participants", [], "at least one connection point")
    return Members(
        participants=tuple(members),
        bystanders=tuple(others),
        takes_part=tuple(taking),
        names=tuple(names),
        sides=np.array(sides),
    )


_RIGHTS = ("may_sell", "may_buy", "export_limit_kw", "import_limit_kw")


def community_of(
    sid: str, feeder: Feeder, members: Members, step_s: float, options: dict[str, Any]
) -> Community:
    """The community under the scenario's settings; unknown settings are refused."""
    for key, allowed in _CHOICES.items():
        if key in options and options[key] not in allowed:
            raise DataError(sid, key, options[key], ", ".join(allowed))
    envelopes = dict(options.pop("envelopes", {}))
    at = [feeder.index_of(p.bus) for p in members.participants]
    terms = Terms(
        rule=options.pop("settlement", "mid-market"),
        losses_paid_by=options.pop("losses_paid_by", "operator"),
        network_fee_eur_per_kwh=mw_from_kw(float(options.pop("network_fee_eur_per_mwh", 10.0))),
    )
    options.pop("enforcement", None)  # the scenario wires it: devices keep to their envelope or not
    community = Community(
        participants=members.participants,
        bystanders=members.bystanders,
        names=members.names,
        network=_network(feeder, options, envelopes),
        at=np.array(at, dtype=np.int64),
        step_s=step_s,
        horizon=int(options.pop("horizon", 24)),
        mechanism=options.pop("mechanism", "p2p"),
        rules=_rules(sid, envelopes),
        clears_on=options.pop("network", "envelope"),
        fee_eur_per_kwh=_fees(feeder, np.array(at, dtype=np.int64), options),
        reactive_fee_share=float(options.pop("fee_reactive_share", 0.0)),
        terms=terms,
        settings=_iteration(options),
        foresight=_foresight(sid, options),
    )
    _check_together(sid, community)
    unknown = sorted({*options, *envelopes})
    if unknown:
        raise DataError(sid, "settings", unknown, "only known settings (see the README)")
    return community


def _network(feeder: Feeder, options: dict[str, Any], envelopes: dict[str, Any]) -> Network:
    """The operator's model and limits."""
    rise = options.pop("rise_limit_pu", None)
    return Network(
        feeder=feeder,
        model=lindistflow(feeder),
        v_min_pu=float(options.pop("v_min_pu", 0.9)),
        v_max_pu=float(options.pop("v_max_pu", 1.1)),
        loading=float(options.pop("max_loading_percent", 100.0)) / 100.0,
        rise_pu=None if rise is None else float(rise),
        load_sigma=float(envelopes.pop("load_sigma", 0.0)),
        common_sigma=float(envelopes.pop("common_sigma", 0.0)),
        confidence=float(envelopes.get("confidence", 0.95)),
    )


def _rules(sid: str, envelopes: dict[str, Any]) -> Rules:
    """How envelopes come about."""
    choices = {
        "kind": KINDS,
        "objective": OBJECTIVES,
        "shape": ("box", "polygon"),
        "promise": ("side", "network"),
        "margins": ("gaussian", "conformal"),
    }
    given: dict[str, Any] = {}
    for key in _RULES:
        if key not in envelopes:
            continue
        given[key] = envelopes.pop(key)
        if key in choices and given[key] not in choices[key]:
            allowed = ", ".join(choices[key])
            raise DataError(sid, f"envelopes.{key}", given[key], allowed)
    if "loss_price_eur_per_mwh" in envelopes:
        price = float(envelopes.pop("loss_price_eur_per_mwh"))
        given["loss_price_eur_per_kwh"] = mw_from_kw(price)
    return Rules(**given)


_RULES = (
    *("kind", "objective", "alpha", "shape", "count_on_load", "confidence", "promise"),
    *("margins", "commitments", "feedback"),
)


def _fees(feeder: Feeder, at: Indices, options: dict[str, Any]) -> Floats | None:
    """Fee on a trade between any two participants ``(N, N)`` [EUR/kWh]; None without any."""
    fixed = float(options.pop("fee_fixed_eur_per_mwh", 0.0))
    per_ohm = float(options.pop("fee_eur_per_mwh_ohm", 0.0))
    if fixed == 0.0 and per_ohm == 0.0:
        return None
    fees = mw_from_kw(fixed + per_ohm * path_ohm(feeder, at))
    np.fill_diagonal(fees, 0.0)
    return fees


def _foresight(sid: str, options: dict[str, Any]) -> Foresight:
    """How plans under uncertainty are made."""
    default = Foresight()
    scenarios = options.pop("scenarios", default.scenarios)
    if not isinstance(scenarios, int) or not 1 <= scenarios <= default.doubt.drawn:
        raise DataError(sid, "scenarios", scenarios, f"1 to {default.doubt.drawn}")
    own: dict[str, Any] = {
        field: float(options.pop(key)) for key, field in _DOUBT if key in options
    }
    limits: dict[str, Any] = {
        field: float(options.pop(key)) for key, field in _PLANNING if key in options
    }
    over = options.pop("overload_eur_per_mwh", None)
    return Foresight(
        scenarios=scenarios,
        doubt=replace(default.doubt, **own),
        planning=replace(default.planning, limits=replace(default.planning.limits, **limits)),
        over_eur_per_kwh=default.over_eur_per_kwh if over is None else mw_from_kw(float(over)),
        seed=int(options.pop("seed", 0)),
    )


_DOUBT = (("price_sigma", "price_sigma"), ("late_share", "late"), ("early_share", "early"))
_PLANNING = (("mip_gap", "gap"), ("time_limit_s", "time_limit_s"))


def _check_together(sid: str, community: Community) -> None:
    """Settings that exclude each other."""
    if community.clears_on == "ac":
        if community.mechanism == "none":
            wanted = "envelope or none: with mechanism = none no market has to keep to the grid"
            raise DataError(sid, "network", "ac", wanted)
        if community.fee_eur_per_kwh is not None:
            raise DataError(sid, "network", "ac", "envelope or none, where trades have a fee")
        if community.rules.kind == "dfe-joint":
            wanted = "envelope: joint envelopes are negotiated on rows of the network"
            raise DataError(sid, "network", "ac", wanted)
    if community.mechanism == "stochastic":
        _check_plan(sid, community)
    if community.mechanism == "none" and community.fee_eur_per_kwh is not None:
        raise DataError(sid, "mechanism", "none", "p2p, where trades have a fee")


def _check_plan(sid: str, community: Community) -> None:
    """What a plan under scenarios knows nothing of."""
    if community.clears_on == "ac":
        wanted = "envelope or none: mechanism = stochastic has network rows of its own"
        raise DataError(sid, "network", "ac", wanted)
    if community.rules.kind == "dfe-joint":
        wanted = "another kind: joint envelopes are negotiated by the ADMM (mechanism = p2p)"
        raise DataError(sid, "envelopes.kind", "dfe-joint", wanted)
    fees = community.fee_eur_per_kwh
    if fees is not None and np.ptp(fees[~np.eye(len(fees), dtype=bool)]) > 0.0:
        wanted = "0 with mechanism = stochastic: the fee is the same for all trades"
        raise DataError(sid, "fee_eur_per_mwh_ohm", "above 0", wanted)


def _iteration(options: dict[str, Any]) -> Settings:
    """Settings of the iteration that a scenario may change."""
    changes: dict[str, Any] = {}
    if "max_iterations" in options:
        changes["max_iterations"] = int(options.pop("max_iterations"))
    if "tolerance" in options:
        return Settings(**changes).tightened(float(options.pop("tolerance")))
    return Settings(**changes)


class PriceBook:
    """Tariffs of the coming steps, from a file or from what arrives on the wire.

    Prices that arrive hold for the whole horizon; the others come from the scenario's tariff,
    which needs the instant of mosaik time 0.
    """

    def __init__(
        self,
        tariff: dict[str, Any],
        *,
        start: str | None,
        step_s: float,
        horizon: int,
        hours: int,
        base_dir: Path,
    ) -> None:
        self._tariff = dict(tariff)
        self._strict = bool(self._tariff.pop("strict", False))
        self._tz = self._tariff.pop("timezone", "Europe/Berlin")
        self._spec = self._tariff.pop("wholesale", "nl-day-ahead")
        self._rules = Tariff(**{k: self._tariff.pop(k) for k in _TARIFF if k in self._tariff})
        if self._tariff:
            allowed = f"wholesale, strict, timezone, {', '.join(_TARIFF)}"
            raise DataError("tariff", "keys", sorted(self._tariff), allowed)
        self._start = None if start is None else parse_start(start, tz=self._tz)
        self._step_s, self._horizon, self._base_dir = int(step_s), horizon, base_dir
        self._block = max(-(-hours * HOUR_S // self._step_s), 1)
        self._loaded: tuple[int, Prices] | None = None

    def at(self, index: int, buying: float | None, selling: float | None) -> tuple[Floats, Floats]:
        """Import price and effective feed-in tariff of the horizon [EUR/kWh], ``(H,)`` each."""
        if buying is None or selling is None:
            prices, first = self._prices(index)
            cut = slice(first, first + self._horizon)
            high = prices.import_eur_per_mwh[cut]
            low = prices.feed_in_offered_eur_per_mwh[cut]
        else:
            high = low = np.empty(0)
        high = high if buying is None else np.full(self._horizon, buying)
        low = low if selling is None else np.full(self._horizon, selling)
        self._capped = bool(low[0] > high[0])
        if self._strict and (low > high).any():
            hour = int(np.argmax(low > high))
            allowed = f"at most the import price {high[hour]:g} (strict = true)"
            raise DataError("prices", f"feed-in tariff, step {index + hour}", low[hour], allowed)
        return mw_from_kw(high.astype(np.float64)), mw_from_kw(np.minimum(low, high))

    @property
    def capped(self) -> bool:
        """Whether the feed-in tariff of the current step exceeded the import price."""
        return self._capped

    def _prices(self, index: int) -> tuple[Prices, int]:
        """Prices of the block that holds a step, and the step's place in it."""
        if self._start is None:
            allowed = "an ISO date: prices come from a file unless both arrive on the wire"
            raise DataError("market", "start", None, allowed)
        block = index // self._block
        if self._loaded is None or self._loaded[0] != block:
            begin = self._start + timedelta(seconds=block * self._block * self._step_s)
            self._loaded = (block, self._load(begin))
        return self._loaded[1], index - block * self._block

    def _load(self, begin: datetime) -> Prices:
        per_step = max(self._step_s // HOUR_S, 1)
        tail_h = -(-(self._horizon + 1) * self._step_s // HOUR_S)
        span = Span(
            start=begin,
            hours=self._block * self._step_s // HOUR_S,
            step_s=self._step_s,
            horizon_h=-(-tail_h // per_step) * per_step,
            tz=self._tz,
        )
        return load_prices(
            self._spec, span, tariff=self._rules, base_dir=self._base_dir, tz=self._tz
        )

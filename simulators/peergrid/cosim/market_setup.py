"""What the market simulator is created from: participants, feeder, prices and settings."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.envelope import Network
from peergrid.errors import DataError
from peergrid.inputs.prices import Prices, Tariff, load_prices
from peergrid.inputs.span import HOUR_S, Span, parse_start
from peergrid.market.admm import Settings
from peergrid.market.settlement import RULES, Terms
from peergrid.network.feeder import Feeder
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import LIBRARY, load_feeder, resolve_network
from peergrid.network.linear import lindistflow
from peergrid.operator.community import Community, Participant
from peergrid.units import mw_from_kw

Floats = NDArray[np.float64]
_TARIFF = ("retail_adder_eur_per_mwh", "feed_in_fee_eur_per_mwh", "feed_in_floor_eur_per_mwh")
_CHOICES: dict[str, tuple[str, ...]] = {
    "mechanism": ("p2p", "none"),
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


def participants_of(
    sid: str, entries: Sequence[Mapping[str, Any]], feeder: Feeder
) -> tuple[tuple[Participant, ...], tuple[str, ...], Floats]:
    """Participants, names of all resources, and the sign of what each reports as ``P[MW]``."""
    members: list[Participant] = []
    names: list[str] = []
    sides: list[float] = []
    for i, entry in enumerate(entries):
        field = f"participants[{i}]"
        unknown = set(entry) - {"name", "bus", "resources", *_RIGHTS}
        if unknown:
            raise DataError(sid, field, sorted(unknown), "name, bus, resources and rights")
        if "bus" not in entry:
            raise DataError(sid, f"{field}.bus", None, "a bus of the network")
        feeder.index_of(int(entry["bus"]))
        own = []
        for resource in entry.get("resources", ()):
            side = resource.get("side", "generation")
            if side not in ("generation", "load"):
                raise DataError(sid, f"{field}.side", side, "generation or load")
            own.append(len(names))
            names.append(str(resource.get("name", f"Resource-{len(names)}")))
            sides.append(1.0 if side == "generation" else -1.0)
        rights = {key: entry[key] for key in _RIGHTS if entry.get(key) is not None}
        members.append(
            Participant(
                name=str(entry.get("name", f"bus-{entry['bus']}")),
                bus=int(entry["bus"]),
                resources=tuple(own),
                **rights,
            )
        )
    if not members:
        raise DataError(sid, "participants", [], "at least one connection point")
    return tuple(members), tuple(names), np.array(sides)


_RIGHTS = ("may_sell", "may_buy", "export_limit_kw", "import_limit_kw")


def community_of(
    sid: str,
    feeder: Feeder,
    members: tuple[Participant, ...],
    names: tuple[str, ...],
    step_s: float,
    options: dict[str, Any],
) -> Community:
    """The community under the scenario's settings; unknown settings are refused."""
    for key, allowed in _CHOICES.items():
        if key in options and options[key] not in allowed:
            raise DataError(sid, key, options[key], ", ".join(allowed))
    envelopes = dict(options.pop("envelopes", {}))
    network = Network(
        feeder=feeder,
        model=lindistflow(feeder),
        v_min_pu=float(options.pop("v_min_pu", 0.9)),
        v_max_pu=float(options.pop("v_max_pu", 1.1)),
        loading=float(options.pop("max_loading_percent", 100.0)) / 100.0,
    )
    terms = Terms(
        rule=options.pop("settlement", "mid-market"),
        losses_paid_by=options.pop("losses_paid_by", "operator"),
        network_fee_eur_per_kwh=mw_from_kw(float(options.pop("network_fee_eur_per_mwh", 10.0))),
    )
    options.pop("enforcement", None)  # the scenario wires it: devices keep to their envelope or not
    community = Community(
        participants=members,
        names=names,
        network=network,
        at=np.array([feeder.index_of(p.bus) for p in members], dtype=np.int64),
        step_s=step_s,
        horizon=int(options.pop("horizon", 24)),
        mechanism=options.pop("mechanism", "p2p"),
        envelopes=envelopes.pop("kind", "doe"),
        clears_on=options.pop("network", "envelope"),
        confidence=float(envelopes.pop("confidence", 0.95)),
        feedback=bool(envelopes.pop("feedback", True)),
        terms=terms,
        settings=_iteration(options),
    )
    if community.clears_on == "ac" and community.mechanism == "none":
        wanted = "envelope or none: with mechanism = none there is no market to keep to the grid"
        raise DataError(sid, "network", "ac", wanted)
    unknown = sorted({*options, *envelopes})
    if unknown:
        raise DataError(sid, "settings", unknown, "only known settings (see the README)")
    return community


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

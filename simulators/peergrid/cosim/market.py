"""The market operator as a mosaik simulator: decode, one call of the operator's hour, encode."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import mosaik_api_v3
import numpy as np
from numpy.typing import NDArray

from peergrid.cosim.base import Inputs, Outputs, Simulator, last, total
from peergrid.cosim.market_setup import (
    PriceBook,
    community_of,
    feeder_of,
    members_of,
)
from peergrid.envelopes.feedback import Measurements
from peergrid.errors import DataError, ModelError
from peergrid.operator.accounts import Settled
from peergrid.operator.community import Bystander, Community, Inbox, Participant
from peergrid.operator.hour import Outbox, hour
from peergrid.operator.state import State, from_plain
from peergrid.units import kw_from_mw, mw_from_kw

Floats = NDArray[np.float64]


class MarketSimulator(Simulator):
    """Clears peer-to-peer trades by ADMM inside per-hour envelopes.

    One ``Market`` with a ``Participant`` per connection point, a ``Resource`` per device, and
    meters (``Meter-<bus>``, ``Head``, ``Line-<i>``) that receive what the grid measured. Everything
    it receives must be time-shifted: it acts at the start of a step on what is known by then.
    """

    models: ClassVar[tuple[str, ...]] = (
        "Market",
        "Participant",
        "Resource",
        "Meter",
        "Head",
        "LineMeter",
    )

    def set_up(self, *, start: str | None = None, seed: int = 0, **unknown: Any) -> None:
        """Take the simulator's parameters.

        Parameters
        ----------
        start
            Instant of mosaik time 0 (ISO 8601), needed for prices from a file.
        seed
            Of the scenarios that plans under uncertainty are made for.
        **unknown
            Refused.
        """
        if unknown:
            raise DataError(self.sid, "sim_params", sorted(unknown), "start, seed")
        self._start = start
        self._seed = seed
        self._community: Community | None = None
        self._state: State | None = None
        self._sides: NDArray[np.float64] = np.empty(0)
        self._meters: dict[int, int] = {}
        self._takes_part: tuple[bool, ...] = ()
        self._lines: list[int] = []
        self._line_rows: dict[int, int] = {}

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create the market with its participants, resources and meters."""
        if index > 0:
            raise ModelError(f"{self.sid}: one Market per simulator; start another for another")
        return self._make_market(**params)

    def _make_market(
        self,
        *,
        participants: Sequence[Mapping[str, Any]],
        network: str = "ieee33",
        tariff: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        options = {"seed": self._seed, **(settings or {})}
        base_dir = Path(options.pop("base_dir", "."))
        meters = list(options.pop("meters", []))
        self._lines = [int(line) for line in options.pop("line_meters", [])]
        feeder = feeder_of(network, base_dir, options.pop("slack_vm_pu", None))
        members = members_of(self.sid, participants, feeder)
        self._takes_part, self._sides = members.takes_part, members.sides
        self._reactive = (
            mw_from_kw(float(options.pop("reactive_import_eur_per_mvarh", 0.0))),
            mw_from_kw(float(options.pop("reactive_feed_in_eur_per_mvarh", 0.0))),
        )
        self._prices = PriceBook(
            dict(tariff or {}),
            start=self._start,
            step_s=self.step_s,
            horizon=int(options.get("horizon", 24)),
            hours=int(options.pop("hours", 24)),
            base_dir=base_dir,
        )
        self._community = community_of(self.sid, feeder, members, self.step_s, options)
        self._line_rows = {i: feeder.row_of_branch("line", i) for i in self._lines}
        self._meters = {int(bus): feeder.index_of(int(bus)) for bus in meters}
        self._state = State.first(len(members.names), feeder.n_bus)
        return {"eid": "Market-0", "children": self._children()}

    def _children(self) -> list[dict[str, Any]]:
        community = self._ready()[0]
        children: list[dict[str, Any]] = []
        for i, participant in enumerate(self._in_order(community)):
            resources = [
                {
                    "eid": f"Resource-{r}",
                    "type": "Resource",
                    "rel": [],
                    "extra_info": {"name": community.names[r], "participant": i},
                }
                for r in participant.resources
            ]
            info = {"name": participant.name, "bus": _bus(community, participant)}
            children.append(
                {
                    "eid": f"Participant-{i}",
                    "type": "Participant",
                    "rel": [],
                    "children": resources,
                    "extra_info": info,
                }
            )
        children += [{"eid": f"Meter-{bus}", "type": "Meter", "rel": []} for bus in self._meters]
        children += [{"eid": f"Line-{i}", "type": "LineMeter", "rel": []} for i in self._lines]
        return [*children, {"eid": "Head", "type": "Head", "rel": []}]

    def _in_order(self, community: Community) -> list[Participant | Bystander]:
        """Participants and bystanders in the order of the creation parameter."""
        trading, others = iter(community.participants), iter(community.bystanders)
        return [next(trading) if takes_part else next(others) for takes_part in self._takes_part]

    def _ready(self) -> tuple[Community, State]:
        if self._community is None or self._state is None:
            raise ModelError(f"{self.sid}: create the Market before the first step")
        return self._community, self._state

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """One hour of the operator."""
        community, state = self._ready()
        inbox = self._inbox(community, index, inputs)
        self._state, outbox = hour(community, state, inbox)
        return self._encode(community, outbox)

    # -- decode --------------------------------------------------------------------------------

    def _inbox(self, community: Community, index: int, inputs: Inputs) -> Inbox:
        realised, reactive = (np.full(len(community.names), np.nan) for _ in range(2))
        messages = []
        for r in range(len(community.names)):
            eid = f"Resource-{r}"
            messages.append(last(inputs, eid, "flexibility"))
            power = total(inputs, eid, "P[MW]")
            if power is not None:
                realised[r] = self._sides[r] * kw_from_mw(power)
            power = total(inputs, eid, "Q[MVar]")
            if power is not None:
                reactive[r] = self._sides[r] * kw_from_mw(power)
        buying, selling = self._prices.at(
            index,
            total(inputs, "Market-0", "price_import[EUR/MWh]"),
            total(inputs, "Market-0", "price_feed_in[EUR/MWh]"),
        )
        prices_q = [
            known if seen is None else mw_from_kw(seen)
            for known, seen in zip(
                self._reactive,
                (
                    total(inputs, "Market-0", "price_import_q[EUR/MVArh]"),
                    total(inputs, "Market-0", "price_feed_in_q[EUR/MVArh]"),
                ),
                strict=True,
            )
        ]
        return Inbox(
            time_s=index * self.step_s,
            messages=tuple(messages),
            realised_kw=realised,
            seen=self._seen(community, inputs),
            price_import_eur_per_kwh=buying,
            price_feed_in_eur_per_kwh=selling,
            realised_kvar=reactive,
            price_import_eur_per_kvarh=prices_q[0],
            price_feed_in_eur_per_kvarh=min(prices_q),
        )

    def _seen(self, community: Community, inputs: Inputs) -> Measurements:
        buses = community.network.feeder.n_bus
        vm, p_kw, q_kvar = (np.full(buses, np.nan) for _ in range(3))
        for bus, row in self._meters.items():
            eid = f"Meter-{bus}"
            vm[row] = _number(total(inputs, eid, "Vm[pu]"))
            p_kw[row] = -kw_from_mw(_number(total(inputs, eid, "P[MW]")))
            q_kvar[row] = -kw_from_mw(_number(total(inputs, eid, "Q[MVar]")))
        return Measurements(
            vm_pu=vm,
            p_inj_kw=p_kw,
            q_inj_kvar=q_kvar,
            head_p_kw=kw_from_mw(_number(total(inputs, "Head", "P[MW]"))),
            head_q_kvar=kw_from_mw(_number(total(inputs, "Head", "Q[MVar]"))),
            loss_kw=kw_from_mw(_number(total(inputs, "Head", "P_loss[MW]"))),
        )

    # -- encode --------------------------------------------------------------------------------

    def _encode(self, community: Community, outbox: Outbox) -> Outputs:
        outputs: Outputs = {"Market-0": _market(community, outbox, self._prices.capped)}
        place = 0
        for k, taking in enumerate(self._takes_part):
            outputs[f"Participant-{k}"] = _participant(community, place, outbox) if taking else {}
            place += taking
        for r, point in enumerate(outbox.set_point_kw):
            outputs[f"Resource-{r}"] = {
                "P_set[MW]": None if math.isnan(point) else mw_from_kw(float(point)),
                "Q_set[MVar]": _or_none(mw_from_kw(float(outbox.set_point_kvar[r]))),
            }
        found = outbox.envelope
        voltages = None if found is None else found.bound_voltages(0)
        branches = None if found is None else found.bound_branches(0)
        for bus, row in self._meters.items():
            outputs[f"Meter-{bus}"] = {
                "model_error": _or_none(outbox.errors_pu[row]),
                "binds": None if voltages is None else float(voltages[row]),
            }
        for line, row in self._line_rows.items():
            outputs[f"Line-{line}"] = {
                "model_error": None,
                "binds": None if branches is None else float(branches[row]),
            }
        outputs["Head"] = {"model_error": float(outbox.correction.load_scale)}
        return outputs

    def internal_state(self) -> dict[str, Any]:
        """The operator's memory."""
        return self._ready()[1].plain()

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._state = from_plain(state)


def _bus(community: Community, member: Participant | Bystander) -> int:
    """Label of the bus a member is at."""
    if isinstance(member, Participant):
        return member.bus
    return int(community.network.feeder.bus_id[member.row])


def _market(community: Community, outbox: Outbox, capped: bool) -> dict[str, Any]:
    """Attributes of the market as a whole."""
    clearing, settled, found = outbox.clearing, outbox.settled, outbox.envelope
    events = [{"who": e.who, "what": e.what, "value": e.value} for e in outbox.events]
    if capped:
        what = "feed-in tariff above the import price: the smaller one counts"
        events.append({"who": "prices", "what": what, "value": float("nan")})
    values: dict[str, Any] = {"binding_rows": _binding(outbox), "events": events, "status": 2}
    if found is not None:
        values |= {
            "linear_gap[pu]": _or_none(found.linear_gap_pu[0]),
            "corner_violation[pu]": _or_none(found.violation_pu[0]),
            "corner_overload": _or_none(found.overload[0]),
        }
    if clearing is not None:
        values |= {
            "iterations": clearing.iterations,
            "primal_residual": clearing.primal_kw,
            "dual_residual": kw_from_mw(clearing.dual_eur_per_kwh),
            "residual_history": list(clearing.history),
            "status": int(clearing.status),
            "lower_bound[EUR]": _or_none(clearing.lower_bound_eur),
            "gap": _or_none(clearing.gap),
            "theta[EUR/MWh]": _theta(clearing.theta_eur_per_kwh[:, 0]),
        }
    if clearing is not None and clearing.probability:
        values |= {"scenario_probability": list(clearing.probability)}
        if found is None:
            values["linear_gap[pu]"] = _or_none(clearing.linear_gap_pu)
    return values | ({} if settled is None else _settled(community, settled))


def _settled(community: Community, settled: Settled) -> dict[str, Any]:
    """What was settled, and how envelopes were kept."""
    money, reactive = settled.money, settled.reactive
    sides = 2 * len(community.participants)
    bill_q = 0.0 if reactive is None else reactive.retailer_bill_eur
    return {
        "breaches": settled.breaches,
        "breaches_promised": (1.0 - community.rules.confidence) * sides,
        "losses[MW]": mw_from_kw(settled.loss_kw),
        "p2p_price[EUR/MWh]": kw_from_mw(money.p2p_price_eur_per_kwh),
        "traded[MW]": mw_from_kw(money.traded_total_kw),
        "traded_q[MVar]": 0.0 if reactive is None else mw_from_kw(reactive.traded_total_kw),
        "retailer_bill[EUR]": money.retailer_bill_eur + bill_q,
        "reactive_bill[EUR]": bill_q,
        "network_fees[EUR]": money.network_fees_eur
        + (0.0 if reactive is None else reactive.network_fees_eur),
        "loss_cost[EUR]": money.loss_cost_eur,
        "operator_cost[EUR]": money.operator_cost_eur,
    }


def _binding(outbox: Outbox) -> int:
    """Limits that bind this hour: rows of the envelopes, and limits of the network as cleared."""
    found, clearing = outbox.envelope, outbox.clearing
    rows = 0 if found is None else int(found.binding[:, 0].sum())
    if clearing is None or clearing.grid is None:
        return rows
    multipliers = (clearing.warm.mu_eur_per_pu2, clearing.warm.kappa_eur_per_pu2)
    return rows + sum(int(np.count_nonzero(values[:, 0])) for values in multipliers)


def _theta(theta: Floats) -> float:
    """The community's marginal price [EUR/MWh]; the mean over accounts where each has its own."""
    return float(kw_from_mw(theta.mean()))


def _participant(community: Community, i: int, outbox: Outbox) -> dict[str, Any]:
    """Attributes of one participant."""
    boxes, clearing, settled = outbox.boxes, outbox.clearing, outbox.settled
    values: dict[str, Any] = {
        "P[MW]": mw_from_kw(float(outbox.position_kw[i])),
        "Q[MVar]": mw_from_kw(float(outbox.position_kvar[i])),
        "P_max[MW]": _or_none(mw_from_kw(boxes.p_max_kw[i, 0])),
        "P_min[MW]": _or_none(mw_from_kw(boxes.p_min_kw[i, 0])),
        "Q_max[MVar]": _or_none(mw_from_kw(boxes.q_max_kvar[i, 0])),
        "Q_min[MVar]": _or_none(mw_from_kw(boxes.q_min_kvar[i, 0])),
    }
    if clearing is not None:
        pool = community.pool[i]
        values |= {
            "price[EUR/MWh]": kw_from_mw(float(clearing.price_eur_per_kwh[i, 0])),
            "price_energy[EUR/MWh]": kw_from_mw(float(clearing.theta_eur_per_kwh[pool, 0])),
            "price_loss[EUR/MWh]": kw_from_mw(float(clearing.loss_price_eur_per_kwh[i, 0])),
            "price_congestion[EUR/MWh]": kw_from_mw(float(clearing.congestion_eur_per_kwh[i, 0])),
            "price_q[EUR/MVArh]": kw_from_mw(float(clearing.price_eur_per_kvarh[i, 0])),
        }
    if settled is not None:
        money, reactive = settled.money, settled.reactive
        values |= {
            "traded[MW]": mw_from_kw(float(money.traded_kw[i])),
            "traded_q[MVar]": 0.0 if reactive is None else mw_from_kw(float(reactive.traded_kw[i])),
            "trade_with[MW]": mw_from_kw(money.trade_with_kw[i]).tolist(),
            "import[MW]": mw_from_kw(float(money.import_kw[i])),
            "export[MW]": mw_from_kw(float(money.export_kw[i])),
            "imbalance[MW]": mw_from_kw(float(money.imbalance_kw[i])),
            "envelope_use": _or_none(settled.use[i]),
            "outside": float(settled.outside[i]),
            "cost[EUR]": float(settled.cost_eur[i]),
            "saving[EUR]": float(settled.saving_eur[i]),
        }
    return values


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _or_none(value: float) -> float | None:
    """A plain float; infinite or unknown values are silence on the wire."""
    return float(value) if math.isfinite(value) else None


def main() -> None:
    """Run as a separate process: ``python -m peergrid.cosim.market HOST:PORT``."""
    mosaik_api_v3.start_simulation(MarketSimulator(), "peergrid market operator")


if __name__ == "__main__":
    main()

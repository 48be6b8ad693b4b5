"""Who takes part and under which rules: what does not change from hour to hour."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.doe import Objective
from peergrid.envelopes.feedback import Measurements
from peergrid.envelopes.limits import Network
from peergrid.inputs.scenarios import Doubt
from peergrid.market.admm import Settings
from peergrid.market.settlement import Terms
from peergrid.market.stochastic import Settings as Planning

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Kind = Literal["none", "static", "doe", "dfe-two-stage", "dfe-joint"]
Mechanism = Literal["p2p", "stochastic", "none"]
MECHANISMS: tuple[Mechanism, ...] = ("p2p", "stochastic", "none")
KINDS: tuple[Kind, ...] = ("none", "static", "doe", "dfe-two-stage", "dfe-joint")


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A connection point in the market.

    ``resources`` are indices of its devices; limits in kW, None is no contract limit.
    """

    name: str
    bus: int
    resources: tuple[int, ...]
    may_sell: bool = True
    may_buy: bool = True
    export_limit_kw: float | None = None
    import_limit_kw: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bystander:
    """A connection point outside the market, whose devices say what to expect of them."""

    name: str
    row: int
    resources: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How envelopes come about.

    Parameters
    ----------
    kind
        Who sets them, and when.
    objective, alpha
        By which rule a DOE shares out the room.
    shape
        Boxes, or where reactive power is traded P-Q polygons around them.
    count_on_load
        Whether load that is sure to be there is credited to exports where room is short.
    confidence
        At which each promise is kept: of a side of an envelope, or of the whole network.
    promise
        Which of the two.
    margins
        Gaussian, or conformal: from the forecast errors that were recorded.
    commitments
        Whether joint envelopes may commit a participant to inject or draw at least so much.
    loss_price_eur_per_kwh
        What the operator charges for losses while joint envelopes are negotiated, and after.
    feedback
        Whether measurements correct the model.
    """

    kind: Kind = "doe"
    objective: Objective = "proportional"
    alpha: float = 2.0
    shape: Literal["box", "polygon"] = "box"
    count_on_load: bool = True
    confidence: float = 0.95
    promise: Literal["side", "network"] = "side"
    margins: Literal["gaussian", "conformal"] = "gaussian"
    commitments: bool = False
    loss_price_eur_per_kwh: float = 0.0
    feedback: bool = True


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """How a plan under uncertainty is made, where the mechanism is ``stochastic``.

    Parameters
    ----------
    scenarios
        How many each hour; 1: the forecast is taken for certain.
    doubt
        How unsure prices and arrivals are; powers say it themselves in their messages.
    planning
        Of the solver.
    over_eur_per_kwh
        Price of exceeding a line's rating in the plan.
    seed
        Of the scenarios.
    """

    scenarios: int = 3
    doubt: Doubt = field(default_factory=Doubt)
    planning: Planning = field(default_factory=Planning)
    over_eur_per_kwh: float = 2.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Community:
    """N participants with R resources on a feeder, and the rules they trade by.

    Parameters
    ----------
    participants
        The connection points that take part.
    names
        Name of each resource, those of bystanders included.
    network
        The operator's model of the feeder and its limits.
    at
        ``(N,)`` feeder row of each participant.
    step_s, horizon
        Step length [s] and steps that each clearing looks ahead.
    bystanders
        Connection points that do not take part.
    mechanism
        ``p2p``: one retail account for all, cleared by ADMM; ``stochastic``: the same, planned
        under scenarios by one programme that knows everybody's data; ``none``: everyone alone with
        the retailer.
    rules
        How envelopes come about.
    clears_on
        What the clearing respects besides contracts: ``envelope``, ``ac`` (envelopes, if any, and
        the exact network) or ``none``.
    fee_eur_per_kwh
        ``(N, N)`` fee on trades from row to column; None: they cost the same, whoever trades.
    reactive_fee_share
        Fee on reactive trades, relative to it.
    terms, settings, foresight
        Money, the iteration, and planning under scenarios.
    """

    participants: tuple[Participant, ...]
    names: tuple[str, ...]
    network: Network
    at: Indices
    step_s: float
    horizon: int
    bystanders: tuple[Bystander, ...] = ()
    mechanism: Mechanism = "p2p"
    rules: Rules = field(default_factory=Rules)
    clears_on: Literal["envelope", "ac", "none"] = "envelope"
    fee_eur_per_kwh: Floats | None = None
    reactive_fee_share: float = 0.0
    terms: Terms = field(default_factory=Terms)
    settings: Settings = field(default_factory=Settings)
    foresight: Foresight = field(default_factory=Foresight)

    @property
    def dt_h(self) -> float:
        """Step length [h]."""
        return self.step_s / 3600.0

    @property
    def owner(self) -> Indices:
        """Participant of each resource, ``(R,)``; -1 where a bystander owns it."""
        owner = np.full(len(self.names), -1, dtype=np.int64)
        for index, participant in enumerate(self.participants):
            owner[list(participant.resources)] = index
        return owner

    @property
    def pool(self) -> Indices:
        """Retail account of each participant, ``(N,)``."""
        count = len(self.participants)
        return np.arange(count) if self.mechanism == "none" else np.zeros(count, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inbox:
    """What reached the operator at the start of a step.

    Parameters
    ----------
    time_s
        Start of the step.
    messages
        Flexibility message of each resource as it arrived, None if it said nothing.
    realised_kw, realised_kvar
        ``(R,)`` injection of each resource in the step before; NaN if unknown.
    seen
        What the meters measured in the step before.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(H,)``; feed-in at most import.
    price_import_eur_per_kvarh, price_feed_in_eur_per_kvarh
        The same for reactive power; at zero it is not traded.
    """

    time_s: float
    messages: tuple[object, ...]
    realised_kw: Floats
    seen: Measurements
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    realised_kvar: Floats | None = None
    price_import_eur_per_kvarh: float = 0.0
    price_feed_in_eur_per_kvarh: float = 0.0

    @property
    def trades_reactive(self) -> bool:
        """Whether reactive power has a price."""
        return self.price_import_eur_per_kvarh > 0.0


@dataclass(frozen=True)
class Event:
    """Something went wrong and was dealt with: who, what, and a value."""

    who: str
    what: str
    value: float = float("nan")

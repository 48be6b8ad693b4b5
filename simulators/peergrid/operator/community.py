"""Who takes part and under which rules: what does not change from hour to hour."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.envelope import Network
from peergrid.envelopes.feedback import Measurements
from peergrid.market.admm import Settings
from peergrid.market.settlement import Terms

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Community:
    """N participants with R resources on a feeder, and the rules they trade by.

    Parameters
    ----------
    participants
        The connection points.
    names
        Name of each resource.
    network
        The operator's model of the feeder and its limits.
    at
        ``(N,)`` feeder row of each participant.
    step_s, horizon
        Step length [s] and steps that each clearing looks ahead.
    mechanism
        ``p2p``: one retail account for all; ``none``: everyone alone with the retailer.
    envelopes
        ``doe``, ``static`` or ``none``.
    clears_on
        What the clearing respects besides contracts: ``envelope``, ``ac`` (envelopes, if any, and
        the exact network) or ``none``.
    confidence
        Of the margins on firm load.
    feedback
        Whether measurements correct the model.
    terms, settings
        Money, and the iteration.
    """

    participants: tuple[Participant, ...]
    names: tuple[str, ...]
    network: Network
    at: Indices
    step_s: float
    horizon: int
    mechanism: Literal["p2p", "none"] = "p2p"
    envelopes: Literal["doe", "static", "none"] = "doe"
    clears_on: Literal["envelope", "ac", "none"] = "envelope"
    confidence: float = 0.95
    feedback: bool = True
    terms: Terms = field(default_factory=Terms)
    settings: Settings = field(default_factory=Settings)

    @property
    def dt_h(self) -> float:
        """Step length [h]."""
        return self.step_s / 3600.0

    @property
    def owner(self) -> Indices:
        """Participant of each resource, ``(R,)``."""
        owner = np.zeros(len(self.names), dtype=np.int64)
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
    realised_kw
        ``(R,)`` injection of each resource in the step before; NaN if unknown.
    seen
        What the meters measured in the step before.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(H,)``; feed-in at most import.
    """

    time_s: float
    messages: tuple[object, ...]
    realised_kw: Floats
    seen: Measurements
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats


@dataclass(frozen=True)
class Event:
    """Something went wrong and was dealt with: who, what, and a value."""

    who: str
    what: str
    value: float = float("nan")

"""The hour before, in accounts: money on realised meters, and how the envelopes were kept."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.settlement import Hour, Settlement, settle
from peergrid.operator.community import Community, Inbox
from peergrid.operator.state import Pending

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
BREACH_TOLERANCE_KW = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Settled:
    """One settled hour of N participants.

    Parameters
    ----------
    money
        Payments for active power, fees and losses.
    reactive
        Payments for reactive power; None where it is not traded.
    loss_kw
        Losses that were settled.
    metered_kw, is_metered
        ``(N,)`` realised injections, and whether a meter showed them.
    outside
        ``(N,)`` who was outside the published envelope.
    use
        ``(N,)`` share of the envelope's reach, to the side of the injection, that was used; NaN
        without one.
    """

    money: Settlement
    reactive: Settlement | None
    loss_kw: float
    metered_kw: Floats
    is_metered: Bools
    outside: Bools
    use: Floats

    @property
    def breaches(self) -> int:
        """Participants outside their envelope."""
        return int(self.outside.sum())

    @property
    def cost_eur(self) -> Floats:
        """What each pays, ``(N,)``."""
        return self.money.cost_eur + (0.0 if self.reactive is None else self.reactive.cost_eur)

    @property
    def saving_eur(self) -> Floats:
        """How much less that is than alone with the retailer, ``(N,)``."""
        more = 0.0 if self.reactive is None else self.reactive.saving_eur
        return np.asarray(self.money.saving_eur + more)


def settle_hour(community: Community, pending: Pending | None, inbox: Inbox) -> Settled | None:
    """Settle the hour before on realised meters; losses as metered, else by the energy balance."""
    if pending is None:
        return None
    metered, known = _metered(community, inbox.realised_kw, inbox.seen.p_inj_kw)
    metered = np.where(known, metered, pending.position_kw)
    loss_kw = _losses_kw(inbox, metered, community)
    money = settle(
        Hour(
            dt_h=community.dt_h,
            pool=community.pool,
            position_kw=pending.position_kw,
            metered_kw=metered,
            theta_eur_per_kwh=pending.theta_eur_per_kwh,
            price_import_eur_per_kwh=pending.price_import_eur_per_kwh,
            price_feed_in_eur_per_kwh=pending.price_feed_in_eur_per_kwh,
            loss_kw=loss_kw,
            trade_kw=pending.trade_kw,
            fee_eur_per_kwh=community.fee_eur_per_kwh,
        ),
        community.terms,
    )
    outside = np.maximum(metered - pending.p_max_kw, pending.p_min_kw - metered)
    return Settled(
        money=money,
        reactive=_reactive(community, pending, inbox),
        loss_kw=loss_kw,
        metered_kw=metered,
        is_metered=known,
        outside=outside > BREACH_TOLERANCE_KW,
        use=_use(metered, pending),
    )


def _reactive(community: Community, pending: Pending, inbox: Inbox) -> Settlement | None:
    """The same rules for reactive power, without losses."""
    if pending.price_import_eur_per_kvarh <= 0.0:
        return None
    realised = inbox.realised_kvar
    if realised is None:
        realised = np.full(len(community.names), np.nan)
    metered, known = _metered(community, realised, inbox.seen.q_inj_kvar)
    fee = community.fee_eur_per_kwh
    pools = int(community.pool.max(initial=0)) + 1
    return settle(
        Hour(
            dt_h=community.dt_h,
            pool=community.pool,
            position_kw=pending.position_kvar,
            metered_kw=np.where(known, metered, pending.position_kvar),
            theta_eur_per_kwh=np.full(pools, pending.price_import_eur_per_kvarh),
            price_import_eur_per_kwh=pending.price_import_eur_per_kvarh,
            price_feed_in_eur_per_kwh=pending.price_feed_in_eur_per_kvarh,
            loss_kw=0.0,
            trade_kw=pending.trade_kvar,
            fee_eur_per_kwh=None if fee is None else community.reactive_fee_share * fee,
            fee_share=community.reactive_fee_share,
        ),
        community.terms,
    )


def _use(metered: Floats, pending: Pending) -> Floats:
    """Share of the reach that the injection used, to its side."""
    reach = np.where(metered >= 0.0, pending.p_max_kw, -pending.p_min_kw)
    usable = np.isfinite(reach) & (reach > 0.0)
    return np.where(usable, np.abs(metered) / np.where(usable, reach, 1.0), np.nan)


def _losses_kw(inbox: Inbox, metered: Floats, community: Community) -> float:
    """Losses to settle: as metered if that can be true, else what the energy balance leaves."""
    loss_kw, head_kw = inbox.seen.loss_kw, inbox.seen.head_p_kw
    others = [r for bystander in community.bystanders for r in bystander.resources]
    beside = np.nan_to_num(inbox.realised_kw[others], posinf=0.0, neginf=0.0)
    balance = head_kw + float(metered.sum()) + float(beside.sum())
    most = float(np.abs(metered).sum() + np.abs(beside).sum())
    most += abs(head_kw) if np.isfinite(head_kw) else 0.0
    if 0.0 <= loss_kw <= most:
        return loss_kw
    return min(max(balance, 0.0), most) if np.isfinite(balance) else 0.0


def _metered(community: Community, realised: Floats, at_bus: Floats) -> tuple[Floats, Bools]:
    """Realised injection of each participant ``(N,)``, and whether it is known.

    Where a device said nothing, the bus meter speaks for a participant alone at its bus.
    """
    owner = community.owner
    ours = owner >= 0
    metered = np.zeros(len(community.participants))
    np.add.at(metered, owner[ours], realised[ours])
    places = [*community.at.tolist(), *(b.row for b in community.bystanders)]
    shared = np.bincount(places, minlength=community.network.feeder.n_bus)[community.at] > 1
    meter = np.where(shared, np.nan, at_bus[community.at])
    metered = np.where(np.isfinite(metered), metered, meter)
    return metered, np.isfinite(metered)

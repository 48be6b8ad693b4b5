"""What PV plants and wind turbines share: a measured series, their forecast, and reactive power."""

from typing import Any, ClassVar, Literal

import numpy as np

from peergrid.cosim.base import Inputs, Outputs
from peergrid.cosim.common import DeviceSimulator, Floats, Quantity, known, stacked, whole_number
from peergrid.devices import plant
from peergrid.devices.reactive import ReactiveOffers
from peergrid.errors import DataError
from peergrid.inputs.plants import plant_power
from peergrid.inputs.span import Span
from peergrid.units import mw_from_kw

SHARED = {
    "sigma_share": Quantity(optional=True),
    "q_share": Quantity(optional=True),
    "q_cost_eur_per_mvarh": Quantity(default=0.0),
    "q_cost_quadratic_eur_per_mvar2h": Quantity(default=0.0),
}
"""Creation parameters of both: the standard deviation that is stated of the forecast, as a share of
it (absent: the forecast model's); reactive power on offer, as a share of the nameplate power
(absent: what the inverter's rating leaves), and its cost."""


class PlantSimulator(DeviceSimulator):
    """Plants that sun or wind offer power to, which can be held back.

    Subclasses say their ``kind`` of forecast and the creation parameter that is the nameplate
    power, pass each plant's parameters to :meth:`place`, and what is offered to :meth:`realise`.
    """

    kind: ClassVar[Literal["pv", "wind"]]
    nameplate: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._shared: list[dict[str, float]] = []
        self._rated: list[float] = []
        self._columns: dict[int, tuple[str, int]] = {}

    def series_of(self, where: str, params: dict[str, Any]) -> str | None:
        """Take ``series`` and ``bus`` out of the parameters of the plant that comes next."""
        series, bus = params.pop("series", None), params.pop("bus", None)
        if series is None:
            return None
        if not isinstance(series, str):
            raise DataError(where, "series", series, "a .csv file")
        self._columns[len(self._rated)] = (series, whole_number(where, "bus", bus, 0))
        return series

    def place(self, taken: dict[str, float], rated_kw: float) -> None:
        """Keep what :data:`SHARED` says of a plant, and its nameplate power."""
        self._shared.append({name: taken[name] for name in SHARED})
        self._rated.append(rated_kw)
        rated = np.array(self._rated)
        most = stacked(self._shared, "q_share") * rated
        square = stacked(self._shared, "q_cost_quadratic_eur_per_mvar2h")
        self._offers = ReactiveOffers(
            kva=plant.KVA_PER_KW * rated,
            q_min_kvar=-most,
            q_max_kvar=most,
            cost_eur_per_kvarh=mw_from_kw(stacked(self._shared, "q_cost_eur_per_mvarh")),
            cost_eur_per_kvar2h=mw_from_kw(mw_from_kw(square)),
        )

    @property
    def is_measured(self) -> bool:
        """Whether any plant has a measured series."""
        return bool(self._columns)

    def measured(self, span: Span) -> Floats:
        """Power of the plants that have a series, ``(n, T)`` [kW]; NaN for the others."""
        power = np.full((len(self.rows), span.n_total), np.nan)
        for series in sorted({series for series, _ in self._columns.values()}):
            rows = [row for row, (own, _) in self._columns.items() if own == series]
            power[rows] = plant_power(
                series,
                span,
                buses=[self._columns[row][1] for row in rows],
                kwp=np.array(self._rated)[rows],
                base_dir=self.base_dir,
                nameplate=self.nameplate,
            )
        return power

    def realise(self, index: int, inputs: Inputs, offered_kw: Floats) -> Outputs:
        """Hold back and look ahead; ``offered_kw``: this step and the horizon, ``(n, 1+H)``."""
        ahead, sigma = self._forecast(offered_kw[:, 1:], index)
        p_kw = plant.curtailed(offered_kw[:, 0], self.kw(inputs, "P_set[MW]"), self.room(inputs))
        q_kvar = self._offers.follow(self.kw(inputs, "Q_set[MVar]"), p_kw)
        q_kvar = np.where(np.isnan(p_kw), np.nan, q_kvar)
        sent = plant.messages(
            ahead, sigma, self._offers.on_wire(), t0_s=self.t0_s(index), dt_s=self.step_s
        )
        rows = zip(self.rows, known(mw_from_kw(p_kw)), known(mw_from_kw(q_kvar)), sent, strict=True)
        return {
            eid: {"P[MW]": p, "Q[MVar]": q, "flexibility": message} for eid, p, q, message in rows
        }

    def _forecast(self, truth_kw: Floats, index: int) -> tuple[Floats, Floats]:
        """Expected power and its standard deviation, ``(n, H)`` [kW]."""
        rated, calendar = np.array(self._rated), self.calendar
        ahead = self.forecast.forecast(
            self.kind,
            truth_kw,
            rated,
            calendar.epoch_s(index),
            entities=self.names,
            step_s=calendar.step_s,
        )
        sigma = self.forecast.sigma(self.kind, calendar.lead_h(index)) * rated[:, None]
        if self.kind == "pv":  # at night nothing is uncertain
            sigma = np.where(truth_kw > 0.0, sigma, 0.0)
        ahead = np.where(np.isnan(truth_kw), np.nan, ahead)
        stated = stacked(self._shared, "sigma_share")[:, None]
        return ahead, np.where(np.isnan(stated), sigma, stated * ahead)

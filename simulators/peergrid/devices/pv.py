"""Photovoltaic plants: from weather to alternating-current power, with pvlib's functions.

The chain: angle of incidence, sky diffuse after Hay and Davies (1980), ground diffuse, reflection
losses of the direct beam (Fresnel and Snell, ``iam.physical``), cell temperature after King et al.
(Sandia, 2004), direct-current power and inverter of PVWatts (Dobos, NREL/TP-6A20-62641, 2014) with
its 14 % system losses. What depends on the sun's position alone is computed once per block of
hours (:class:`View`); the hourly path is arithmetic on small arrays.

Arrays are ``(plant, time)``.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pvlib import iam, inverter, irradiance, pvsystem, solarposition, temperature

Floats = NDArray[np.float64]

GAMMA_PER_K = -0.0035
"""Temperature coefficient of power of crystalline silicon [1/K]."""
SYSTEM_LOSS = 0.14
"""Soiling, mismatch, wiring, ageing, availability (PVWatts default)."""
ALBEDO = 0.2
"""Reflectance of grass (assumed)."""
_CELL = temperature.TEMPERATURE_MODEL_PARAMETERS["sapm"]["open_rack_glass_glass"]
_LEAST_COS_ZENITH = 0.01745  # cos 89 deg: pvlib's own limit for the projection ratio
_SUN_UP = 0.0523  # sine of 3 deg: below it, ratios of irradiances say nothing
_USUAL_CLEARNESS = 0.5
_USUAL_DIFFUSE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Plants:
    """n plants: peak power [kW], tilt from horizontal and azimuth from north [deg], ``(n,)``."""

    kwp: Floats
    tilt_deg: Floats
    azimuth_deg: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Sky:
    """Weather on ``(n, T)`` or ``(1, T)``: irradiances [W/m2], air [C], wind [m/s]; NaN unknown."""

    ghi: Floats
    dni: Floats
    dhi: Floats
    t_air_c: Floats
    wind_speed_m_s: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """How n plants see the sun over T steps.

    ``cos_aoi``: projection of the beam on the module, 0 from behind; ``beam_through``: share that
    is not reflected; ``ratio``: ``cos_aoi`` over the cosine of the zenith; each ``(n, T)``.
    ``cos_zenith`` (0 below the horizon) and ``extra`` [W/m2], normal irradiance outside the
    atmosphere: ``(T,)``.
    """

    cos_aoi: Floats
    beam_through: Floats
    ratio: Floats
    cos_zenith: Floats
    extra: Floats

    def window(self, first: int, steps: int) -> "View":
        """The steps from ``first`` on."""
        cut = slice(first, first + steps)
        return View(
            cos_aoi=self.cos_aoi[:, cut],
            beam_through=self.beam_through[:, cut],
            ratio=self.ratio[:, cut],
            cos_zenith=self.cos_zenith[cut],
            extra=self.extra[cut],
        )


def view(
    plants: Plants,
    times: pd.DatetimeIndex,
    *,
    latitude: float,
    longitude: float,
    altitude_m: float = 0.0,
) -> View:
    """View of the sun at instants (the middles of the steps), from the NREL solar position."""
    position = solarposition.get_solarposition(times, latitude, longitude, altitude_m)
    zenith = position["apparent_zenith"].to_numpy()[None, :]
    azimuth = position["azimuth"].to_numpy()[None, :]
    tilt, facing = plants.tilt_deg[:, None], plants.azimuth_deg[:, None]
    projection = irradiance.aoi_projection(tilt, facing, zenith, azimuth)
    through = iam.physical(irradiance.aoi(tilt, facing, zenith, azimuth))
    cos_aoi = np.maximum(projection, 0.0)
    cos_zenith = np.cos(np.radians(zenith[0]))
    return View(
        cos_aoi=cos_aoi,
        beam_through=np.nan_to_num(np.asarray(through, dtype=np.float64)),
        ratio=cos_aoi / np.maximum(cos_zenith, _LEAST_COS_ZENITH),
        cos_zenith=np.maximum(cos_zenith, 0.0),
        extra=np.asarray(irradiance.get_extra_radiation(times), dtype=np.float64),
    )


def available_kw(plants: Plants, seen: View, sky: Sky) -> Floats:
    """Power that the sun offers, ``(n, T)`` [kW], between 0 and the peak power.

    ``p = inverter(kwp (1 - loss) effective / 1000 (1 + gamma (t_cell - 25)))``, where the
    effective irradiance is beam times transmission plus sky and ground diffuse. The inverter is
    rated at the peak power. NaN weather gives NaN.
    """
    tilt = plants.tilt_deg[:, None]
    beam = sky.dni * seen.cos_aoi
    diffuse = irradiance.haydavies(
        tilt, None, sky.dhi, sky.dni, seen.extra, projection_ratio=seen.ratio
    ) + irradiance.get_ground_diffuse(tilt, sky.ghi, albedo=ALBEDO)
    cell_c = temperature.sapm_cell(beam + diffuse, sky.t_air_c, sky.wind_speed_m_s, **_CELL)
    effective = beam * seen.beam_through + diffuse
    kwp = plants.kwp[:, None]
    dc_kw = pvsystem.pvwatts_dc(effective, cell_c, kwp, GAMMA_PER_K) * (1.0 - SYSTEM_LOSS)
    ac_kw = inverter.pvwatts(np.maximum(dc_kw, 0.0), kwp)
    dark = np.where(np.isnan(effective), np.nan, 0.0)
    return np.asarray(np.where(effective > 0.0, np.maximum(ac_kw, 0.0), dark))


@dataclass(frozen=True, kw_only=True, eq=False)
class Clearness:
    """Last daylight seen by each plant, ``(n,)``: what remains true when no forecast comes.

    ``clearness``: global over extraterrestrial horizontal irradiance; ``diffuse``: diffuse over
    global. ``t_air_c`` and ``wind_speed_m_s``: last known.
    """

    clearness: Floats
    diffuse: Floats
    t_air_c: Floats
    wind_speed_m_s: Floats

    @classmethod
    def usual(cls, n: int) -> "Clearness":
        """Before any daylight was seen."""
        return cls(
            clearness=np.full(n, _USUAL_CLEARNESS),
            diffuse=np.full(n, _USUAL_DIFFUSE),
            t_air_c=np.full(n, 15.0),
            wind_speed_m_s=np.full(n, 2.0),
        )

    def updated(self, seen: View, now: Sky) -> "Clearness":
        """After the step whose weather is ``now``, ``(n, 1)``; ``seen`` is of the same step."""
        ghi, dhi = now.ghi[:, 0], now.dhi[:, 0]
        outside = seen.extra[0] * seen.cos_zenith[0]
        day = (seen.cos_zenith[0] > _SUN_UP) & (ghi > 1.0) & np.isfinite(dhi)
        t_air, wind = now.t_air_c[:, 0], now.wind_speed_m_s[:, 0]
        safe = np.where(day, ghi, 1.0)
        return Clearness(
            clearness=np.where(day, np.minimum(safe / max(outside, 1.0), 1.0), self.clearness),
            diffuse=np.where(day, np.clip(dhi / safe, 0.0, 1.0), self.diffuse),
            t_air_c=np.where(np.isfinite(t_air), t_air, self.t_air_c),
            wind_speed_m_s=np.where(np.isfinite(wind), wind, self.wind_speed_m_s),
        )

    def sky(self, seen: View) -> Sky:
        """Persistence: the same clearness under the moving sun, ``(n, T)``."""
        ghi = self.clearness[:, None] * (seen.extra * seen.cos_zenith)
        dhi = self.diffuse[:, None] * ghi
        dni = (ghi - dhi) / np.maximum(seen.cos_zenith, _SUN_UP)
        shape = ghi.shape
        return Sky(
            ghi=ghi,
            dni=np.minimum(dni, seen.extra),
            dhi=dhi,
            t_air_c=np.broadcast_to(self.t_air_c[:, None], shape),
            wind_speed_m_s=np.broadcast_to(self.wind_speed_m_s[:, None], shape),
        )

"""Write the scenarios ``ieee119_case0.toml`` to ``ieee119_case2.toml`` and their series.

``python tools/build_households.py [FOLDER]`` makes them from the base day of
``peergrid.study.households`` with its default sizes; ``ieee119/README.md`` says what each column
is. The files come out the same at every call.
"""

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.weather import Weather, load_weather
from peergrid.study.households import devices
from peergrid.study.households import profiles as days_of
from peergrid.study.households.clients import CASES, Client, Sizes, clients
from peergrid.study.households.day import FEE_EUR_PER_KWH, FEEDER
from peergrid.study.households.profiles import BASE_SEED, TAN_PHI, Profiles

SCENARIOS = Path(__file__).parent.parent / "scenarios"
DATA = "ieee119"
DAYS = (-1, 0, 1, 2)  # the hour before the run and the horizon of its last hour are covered
DAY = datetime.combine(days_of.day_of(BASE_SEED), time())
SIZES = Sizes()
KWH_PER_KM = 0.18
PER_MWH = 1000.0
IRRADIANCE = ("ghi", "dni", "dhi")
COLUMNS = {name: f"{name} [W/m2]" for name in IRRADIANCE}
COLUMNS |= {"t_air_c": "t_air [C]", "wind_speed_m_s": "wind_speed [m/s]"}

Value = str | bool | int | float | Sequence[float]
Floats = NDArray[np.float64]

INTRO = """\
# A day of ten clients on a branch of the 119-bus feeder:
# {what}.
#
# Case {case} of S. F. Santos, J. T. R. A. Branco, G. J. Osorio, J. P. S. Catalao, "Impact of P2P
# Market Transactions on Distribution Network Congestion Considering Physical Constraints". Who owns
# what is from there; every size and series is ours: ieee119/README.md says where each comes from.
# Written by tools/build_households.py.
"""
WHAT = {
    0: "nine of a hundred homes each and a school, consumers all",
    1: "nine of a hundred homes each and a school trade with each other",
    2: "seven of a hundred homes each, two industries and a school trade with each other",
}
RUN = f"""\
start = {DAY:%Y-%m-%d}           # {DAY:%A}
timezone = "Europe/Berlin"
hours = 24
seed = {BASE_SEED}
horizon = 24                 # each clearing sees a full day ahead
"""
FORECAST = """\
# Forecasts err. Load and PV are forecast by a seeded model whose error has a part of each client's
# own and one that all have in common, and shrinks as the hour comes near; each device publishes the
# standard deviation that its errors have (a load counts as one home per 2.5 kW of its peak).
# Temperature, tours and prices are forecast as they come. With model = "perfect" all of them are.
"""
TRADE = f"""\
[market]
mechanism = "stochastic"     # plans under scenarios of what may come, by one programme
scenarios = 3
participants = "listed"      # the clients of the tables at the end
settlement = "mid-market"
enforcement = "soft"
network_fee_eur_per_mwh = 0.0
fee_fixed_eur_per_mwh = {PER_MWH * FEE_EUR_PER_KWH}   # on every trade, and weighed there
"""
ALONE = """\
[market]
mechanism = "none"           # everybody alone with the retailer
participants = "listed"
enforcement = "soft"
network_fee_eur_per_mwh = 0.0
"""


def number(value: float) -> str:
    """A number with nine decimals at most.

    >>> number(0.25), number(3.0), number(-0.0)
    ('0.25', '3', '0')
    """
    return f"{value + 0.0:.9f}".rstrip("0").rstrip(".")


def toml(value: Value, *, whole: bool = False) -> str:
    """A value in TOML, numbers with twelve digits; one number for equal ones unless ``whole``.

    >>> toml([0.1 + 0.2, 0.3]), toml([1.0, 2.5]), toml(True), toml("cool")
    ('0.3', '[1.0, 2.5]', 'true', '"cool"')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int | float):
        return str(value if isinstance(value, int) else float(f"{value:.12g}"))
    texts = [toml(one) for one in value]
    return texts[0] if len(set(texts)) == 1 and not whole else f"[{', '.join(texts)}]"


def table(name: str, note: str = "", /, **keys: Value) -> str:
    """One TOML table; ``buses`` and phases stay lists."""
    lines = [f"{name}  # {note}" if note else name]
    for key, value in keys.items():
        text = toml(value, whole=key in ("buses", "phases_kw"))
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


def buses(found: Iterable[Client]) -> list[int]:
    """Where clients are."""
    return [client.bus for client in found]


# -- the series ----------------------------------------------------------------------------------


def stamps() -> Iterator[tuple[int, str]]:
    """Hour of the day and local stamp of every row."""
    for day in DAYS:
        for hour in range(24):
            yield hour, f"{DAY + timedelta(days=day, hours=hour):%Y-%m-%dT%H:%M}"


def csv(columns: Mapping[str, Floats]) -> str:
    """Columns of a day, repeated for all days."""
    lines = [",".join(["time", *columns])]
    for hour, stamp in stamps():
        lines.append(",".join([stamp, *(number(column[hour]) for column in columns.values())]))
    return "\n".join(lines) + "\n"


def by_bus(found: Sequence[Client], power_kw: Floats) -> str:
    """Powers of the clients as CSV."""
    return csv({f"bus_{c.bus} [kW]": row for c, row in zip(found, power_kw, strict=True)})


def tours(found: Sequence[Client], day: Profiles) -> str:
    """One tour a day of each client's vehicles, as CSV; the one before the run ends at midnight."""
    lines = ["ev,date,depart_h,return_h,km,energy_kwh"]
    kwh = SIZES.ev_trip_kwh * SIZES.ev_count
    for ev, i in enumerate(i for i, client in enumerate(found) if client.ev):
        for shift in DAYS:
            back = day.return_h[i] if shift >= 0 else 24.0
            date = f"{DAY + timedelta(days=shift):%Y-%m-%d}"
            hours = f"{day.depart_h[i]:.2f},{back:.2f}"
            lines.append(f"{ev},{date},{hours},{kwh / KWH_PER_KM:.1f},{number(kwh)}")
    return "\n".join(lines) + "\n"


def series(days: Mapping[int, Profiles], weather: Weather) -> dict[str, str]:
    """Contents of the series by their names."""
    traded, day = clients(1), days[1]
    price = {"price [EUR/MWh]": PER_MWH * day.price_import_eur_per_kwh}
    return {
        "load.csv": by_bus(traded, day.load_kw),
        "load_case2.csv": by_bus(clients(2), days[2].load_kw),
        "pv.csv": by_bus(traded, day.pv_kw),
        "prices.csv": csv(price),
        "tours.csv": tours(traded, day),
        "weather.csv": csv({name: getattr(weather, field) for field, name in COLUMNS.items()}),
    }


# -- the tables ----------------------------------------------------------------------------------


def head(case: int, day: Profiles, weather: Weather) -> Iterator[str]:
    """Everything but devices and participants."""
    yield INTRO.format(case=case, what=WHAT[case])
    yield f'name = "ieee119_case{case}"\n{RUN}'
    note = "buses 89 to 99; rated so that lines are overloaded in case 0"
    yield table("[network]", note, case=FEEDER, slack_vm_pu=1.0, v_min_pu=0.95, v_max_pu=1.05)
    if case:
        yield table(
            "[weather]",
            "only the temperature matters: PV has a series of its own",
            source=f"{DATA}/weather.csv",
            latitude=weather.latitude,
            longitude=weather.longitude,
            altitude_m=weather.altitude_m,
        )
    yield table(
        "[prices]",
        "the fee is so high that the floor holds in every hour",
        wholesale=f"{DATA}/prices.csv",
        retail_adder_eur_per_mwh=0.0,
        feed_in_fee_eur_per_mwh=1000.0,
        feed_in_floor_eur_per_mwh=PER_MWH * float(day.price_feed_in_eur_per_kwh[0]),
    )
    yield FORECAST + table("[forecast]", model="default")
    yield TRADE if case else ALONE
    yield table("[envelopes]", kind="none")


def owned(case: int, found: Sequence[Client], weather: Weather) -> Iterator[str]:
    """The tables of devices, in the order in which they act."""
    load = f"{DATA}/load{'_case2' if case == 2 else ''}.csv"
    yield table("[[fixed_load]]", buses=buses(found), series=load, tan_phi=TAN_PHI)
    flexible = [client for client in found if client.flexible]
    if flexible:
        yield machines(flexible, "washing machine", devices.WASHING_MACHINE_KW)
        yield machines(flexible, "dishwasher", devices.DISHWASHER_KW)
        yield cooling(flexible, weather)
    if any(client.ev for client in found):
        yield vehicles([client for client in found if client.ev])
    if any(client.ess for client in found):
        yield batteries([client for client in found if client.ess])
    plants = [client for client in found if client.pv]
    if plants:
        kwp = [own(client, SIZES.pv_kwp, SIZES.school_pv_kwp) for client in plants]
        note, power = "at unity power factor", f"{DATA}/pv.csv"
        yield table("[[pv]]", note, buses=buses(plants), kwp=kwp, series=power, q_share=0.0)


def own(client: Client, usual: float, school: float) -> float:
    """A size that the school has of its own."""
    return school if client.kind == "school" else usual


def machines(found: Sequence[Client], what: str, phases_kw: Sequence[float]) -> str:
    """One kind of appliance."""
    earliest, latest, habit = devices.WINDOWS_H[what]
    return table(
        "[[appliance]]",
        f"{what}s of the homes that run theirs today, in step",
        buses=buses(found),
        phases_kw=phases_kw,
        phase_min=devices.PHASE_S / 60.0,
        earliest_h=earliest,
        latest_h=latest,
        habit_h=habit,
        homes=[client.homes * SIZES.appliance_share for client in found],
    )


def cooling(found: Sequence[Client], weather: Weather) -> str:
    """Homes with cooling."""
    homes = [client.homes * SIZES.hvac_share for client in found]
    if any(abs(each - round(each)) > 1e-9 for each in homes):
        raise DataError("tools/build_households.py", "homes", homes, "whole homes with cooling")
    low, high = SIZES.comfort_c
    return table(
        "[[building]]",
        f"theta_start_c: an hour before midnight, then {toml(SIZES.theta_start_c)} C",
        buses=buses(found),
        mode="cool",
        p_max_kw=SIZES.hvac_kw,
        cop=SIZES.hvac_cop,
        r_k_per_kw=SIZES.home_k_per_kw,
        c_kwh_per_k=SIZES.home_kwh_per_k,
        theta_min_c=low,
        theta_max_c=high,
        theta_set_c=high - 1.0,
        theta_start_c=theta_before_c(weather),
        gains_kw=SIZES.home_gains_kw,
        homes=[round(each) for each in homes],
    )


def theta_before_c(weather: Weather) -> float:
    """Temperature an hour before midnight from which homes drift to that of the day's start."""
    home = SIZES.home_k_per_kw
    driving = float(weather.t_air_c[-1]) + home * SIZES.home_gains_kw
    keep = math.exp(-1.0 / (home * SIZES.home_kwh_per_k))
    return (SIZES.theta_start_c - (1.0 - keep) * driving) / keep


def vehicles(found: Sequence[Client]) -> str:
    """The vehicles of each client as one."""
    return table(
        "[[ev]]",
        f"{SIZES.ev_count:g} vehicles of each client as one",
        buses=buses(found),
        e_max_kwh=SIZES.ev_kwh * SIZES.ev_count,
        p_max_kw=SIZES.ev_kw * SIZES.ev_count,
        v2g=True,
        eta_charge=devices.ETA,
        eta_discharge=devices.ETA,
        soc_start=devices.EV_SOC,
        soc_min=0.2,
        soc_departure=1.0,
        wear_eur_per_mwh=PER_MWH * devices.WEAR_EUR_PER_KWH,
        wear_rise_eur_per_mwh=0.0,
        tours=f"{DATA}/tours.csv",
    )


def batteries(found: Sequence[Client]) -> str:
    """Storage."""
    capacity = [own(client, SIZES.ess_kwh, SIZES.school_ess_kwh) for client in found]
    return table(
        "[[battery]]",
        buses=buses(found),
        e_max_kwh=capacity,
        p_max_kw=[each / SIZES.ess_hours for each in capacity],
        eta_charge=devices.ETA,
        eta_discharge=devices.ETA,
        soc_start=0.5,
        soc_end=0.5,
        soc_min=0.1,
        wear_eur_per_mwh=PER_MWH * devices.WEAR_EUR_PER_KWH,
        wear_rise_eur_per_mwh=0.0,
    )


def scenario(case: int, day: Profiles, weather: Weather) -> str:
    """The TOML file of a case."""
    found = clients(case)
    rights = [
        table("[[participant]]", bus=client.bus, name=client.name, may_sell=client.may_sell)
        for client in found
    ]
    return "\n".join([*head(case, day, weather), *owned(case, found, weather), *rights])


def build(folder: Path) -> list[Path]:
    """Write all files; returns their paths."""
    days = {case: days_of.profiles(clients(case), seed=BASE_SEED) for case in CASES}
    weather = load_weather(days_of.WEATHER, days[1].span)
    texts = {f"{DATA}/{name}": text for name, text in series(days, weather).items()}
    for case in CASES:
        texts[f"ieee119_case{case}.toml"] = scenario(case, days[case], weather)
    (folder / DATA).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def main() -> None:
    """Write the files and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SCENARIOS)
    for path in build(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()

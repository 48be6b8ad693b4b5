"""A plan: what is built where, how big it is, and how it runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.planning.problem import Plant, Problem, Storage, Technology

Floats = NDArray[np.float64]
LEAST_SIZE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """Something that a plan builds.

    Parameters
    ----------
    technology
        What it is.
    row
        Feeder row of its bus.
    size
        In the unit of the technology.
    p_kw
        Injection in each step ``(T,)``.
    """

    technology: Technology
    row: int
    size: float
    p_kw: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is built.

    Parameters
    ----------
    problem
        What was asked.
    size
        By technology: size at each candidate bus ``(candidates,)``.
    p_kw
        By storage: injection at each candidate bus ``(candidates, T)``.
    """

    problem: Problem
    size: Mapping[str, Floats]
    p_kw: Mapping[str, Floats]

    @classmethod
    def nothing(cls, problem: Problem) -> "Plan":
        """The plan that builds nothing."""
        shape = {t.name: len(t.rows) for t in problem.technologies}
        return cls(
            problem=problem,
            size={name: np.zeros(count) for name, count in shape.items()},
            p_kw={s.name: np.zeros((shape[s.name], problem.steps)) for s in problem.storages},
        )

    def power(self, technology: Technology) -> Floats:
        """Injections of a technology at its candidate buses ``(candidates, T)`` [kW]."""
        if isinstance(technology, Plant):
            return self.size[technology.name][:, None] * technology.available_kw
        return self.p_kw[technology.name]

    @property
    def p_inj_kw(self) -> Floats:
        """Injections of all buses, what was there before included ``(n, T)`` [kW]."""
        total = self.problem.p_inj_kw.copy()
        for technology in self.problem.technologies:
            np.add.at(total, technology.rows, self.power(technology))
        return total

    @property
    def capex_eur(self) -> float:
        """Investment."""
        parts = (t.capex_eur * self.size[t.name].sum() for t in self.problem.technologies)
        return float(sum(parts))

    def units(self) -> Iterator[Unit]:
        """What is built, technology by technology."""
        for technology in self.problem.technologies:
            power = self.power(technology)
            for k in np.flatnonzero(self.size[technology.name] > LEAST_SIZE):
                yield Unit(
                    technology=technology,
                    row=int(technology.rows[k]),
                    size=float(self.size[technology.name][k]),
                    p_kw=power[k],
                )

    def energy_kwh(self, storage: Storage) -> Floats:
        """Energy of a storage at each candidate bus ``(candidates, T + 1)``, from its powers."""
        size, dt_h = self.size[storage.name], self.problem.dt_h
        p_kw = self.p_kw[storage.name]
        charge, discharge = np.maximum(-p_kw, 0.0), np.maximum(p_kw, 0.0)
        stored = (storage.eta_charge * charge - discharge / storage.eta_discharge) * dt_h
        change = stored - size[:, None] * storage.demand_kwh
        start = (size * storage.e_start_kwh)[:, None]
        return np.asarray(np.hstack([start, start + np.cumsum(change, axis=1)]))

    def to_dict(self) -> list[dict[str, Any]]:
        """What is built, in the words of JSON; buses by their label."""
        return [
            {
                "technology": unit.technology.name,
                "bus": int(self.problem.feeder.bus_id[unit.row]),
                "size": unit.size,
                "unit": unit.technology.unit,
            }
            for unit in self.units()
        ]

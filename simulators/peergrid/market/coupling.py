"""What couples the agents, and the projection onto it: the network side of an iteration.

Linear blocks say ``c = K y + k0``. A curved block says ``c = F(y)`` with the exact value and
gradient of F at the agents' proposals; it is stepped once per iteration with a constant metric
that majorises its curvature::

    d = H^-1 [ -w_y u_y - K' (w_c (K z_y + k0 - z_c) + w_c u_c) - S' w_f (F(z_y) - z_f)
               - grad (w_f u_f F)(z_y) ]
    H = diag(w_y) + K' w_c K + S' w_f S + curvature
    Y = (z_y + d, K (z_y + d) + k0, F(z_y) + S d)

Where F is linear this is the exact projection. ``S`` are slopes of F that are kept constant; most
hold for all hours, the rest differ from hour to hour at the cost of one small matrix an hour
(Woodbury identity).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Block(Protocol):
    """A linear coupling block: rows over the agents and the proximal step of what they cause."""

    @property
    def rows(self) -> Floats: ...
    @property
    def offset_kw(self) -> Floats: ...
    @property
    def size_kw(self) -> Floats: ...
    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats: ...


class Observation(Protocol):
    """What a curved block sees at the agents' proposals: values of its rows, broken limits."""

    @property
    def values_kw(self) -> Floats: ...
    @property
    def violation_pu(self) -> float: ...


class Curved(Protocol):
    """A coupling block whose rows are exact, nonlinear functions of the proposals.

    ``lead`` ``(C0, A)`` are slopes of its first rows that hold for all hours, ``slopes``
    ``(T, C1, A)`` those of the others; ``curvature`` ``(A, A)`` bounds its second derivative
    [EUR/kW2].
    """

    @property
    def size_kw(self) -> Floats: ...
    @property
    def lead(self) -> Floats: ...
    @property
    def slopes(self) -> Floats: ...
    @property
    def curvature(self) -> Floats: ...
    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats: ...
    def observe(self, proposal_kw: Floats, before: Any) -> Any: ...
    def pull(self, observation: Any, multiplier: Floats) -> Floats: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupling:
    """Linear coupling rows stacked, with the weights and the once-factorised metric.

    ``weight`` covers agents, then rows [EUR/kW2]; ``inverse`` is the ``(A, A)`` inverse of the
    hour-independent part of the metric.
    """

    blocks: tuple[Block, ...]
    rows: Floats
    offset_kw: Floats
    weight: Floats
    inverse: Floats

    @property
    def agents(self) -> int:
        """Number of rows A that the agents propose."""
        return len(self.inverse)

    def rows_at(self, y_kw: Floats) -> Floats:
        """Values of the linear rows."""
        return np.asarray(self.rows @ y_kw + self.offset_kw)

    def propose(self, target_kw: Floats) -> Floats:
        """Proposals of all linear blocks, stacked."""
        weight = self.weight[self.agents :]
        parts, start = [], 0
        for block in self.blocks:
            stop = start + len(block.rows)
            parts.append(block.propose(target_kw[start:stop], weight[start:stop]))
            start = stop
        return np.vstack(parts)

    def project(self, proposal: Floats, target: Floats, before: Any) -> tuple[Floats, Any]:
        """Step onto the coupling from proposals ``z`` and ``T = z + u``; and what was observed."""
        pull = self.weight[:, None] * (target - proposal)
        at, down = self._linear(proposal, pull)
        move = self.inverse @ down
        return np.vstack([proposal[: self.agents] + move, at + self.rows @ move]), None

    def mismatch_kw(self, proposal: Floats, seen: Any) -> float:
        """By how much the coupling's proposals differ from what the agents' cause, at most."""
        rows = slice(self.agents, self.agents + len(self.rows))
        off = self.rows_at(proposal[: self.agents]) - proposal[rows]
        return float(np.abs(off).max(initial=0.0))

    def _linear(self, proposal: Floats, pull: Floats) -> tuple[Floats, Floats]:
        """Values of the linear rows, and the descent direction that agents and rows ask for."""
        agents = self.agents
        rows = slice(agents, agents + len(self.rows))
        at = self.rows_at(proposal[:agents])
        force = self.weight[rows, None] * (at - proposal[rows]) + pull[rows]
        return at, -pull[:agents] - self.rows.T @ force


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvedCoupling(Coupling):
    """Linear rows and one curved block after them.

    ``reach`` ``(T, A, C1)`` and ``capacitance`` ``(T, C1, C1)`` bring each hour's slopes into the
    inverse.
    """

    curved: Curved
    reach: Floats
    capacitance: Floats

    def propose(self, target_kw: Floats) -> Floats:
        """Proposals of all blocks, stacked."""
        linear = len(self.rows)
        weight = self.weight[self.agents + linear :]
        curved = self.curved.propose(target_kw[linear:], weight)
        return np.vstack([super().propose(target_kw[:linear]), curved])

    def project(self, proposal: Floats, target: Floats, before: Any) -> tuple[Floats, Any]:
        """Step onto the coupling; ``before`` is what the last step observed."""
        pull = self.weight[:, None] * (target - proposal)
        at, down = self._linear(proposal, pull)
        y, rest = proposal[: self.agents], slice(self.agents + len(self.rows), None)
        seen = self.curved.observe(y, before)
        off = self.weight[rest, None] * (seen.values_kw - proposal[rest])
        move = self._solve(down - self._gather(off) - self.curved.pull(seen, pull[rest]))
        return np.vstack(
            [y + move, at + self.rows @ move, seen.values_kw + self.spread(move)]
        ), seen

    def mismatch_kw(self, proposal: Floats, seen: Any) -> float:
        """The same, with the curved rows."""
        rest = slice(self.agents + len(self.rows), None)
        off = float(np.abs(seen.values_kw - proposal[rest]).max(initial=0.0))
        return max(super().mismatch_kw(proposal, seen), off)

    def spread(self, move: Floats) -> Floats:
        """How the curved rows answer a move, with the constant slopes, ``(C, T)``."""
        by_hour = np.matmul(self.curved.slopes, move.T[:, :, None])[:, :, 0]
        return np.vstack([self.curved.lead @ move, by_hour.T])

    def _gather(self, forces: Floats) -> Floats:
        """The adjoint of :meth:`spread`, ``(A, T)``."""
        leading = len(self.curved.lead)
        by_hour = np.matmul(forces[leading:].T[:, None, :], self.curved.slopes)[:, 0, :]
        return np.asarray(self.curved.lead.T @ forces[:leading] + by_hour.T)

    def _solve(self, right: Floats) -> Floats:
        """Apply the inverse metric of every hour."""
        move: Floats = self.inverse @ right
        if self.curved.slopes.shape[1] == 0:
            return move
        seen = np.matmul(self.curved.slopes, move.T[:, :, None])
        back = np.matmul(self.reach, np.matmul(self.capacitance, seen))
        return np.asarray(move - back[:, :, 0].T)


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Scale of the quadratic penalties: ``unit / size`` per row, ``share`` times for coupling."""

    unit_eur_per_kw: float
    share: float


def build(
    size_kw: Floats, blocks: Sequence[Block], penalty: Penalty, curved: Curved | None = None
) -> Coupling:
    """Stack the blocks' rows, scale the weights by size and factorise the metric.

    Parameters
    ----------
    size_kw
        ``(A,)`` of what each of the agents' rows may reach.
    blocks, curved
        What couples them.
    penalty
        Scale of the weights.
    """
    rows = np.vstack([block.rows for block in blocks])
    sizes = [block.size_kw for block in blocks] + ([] if curved is None else [curved.size_kw])
    shares = penalty.share / np.concatenate(sizes)
    weight = penalty.unit_eur_per_kw * np.concatenate([1.0 / size_kw, shares])
    agents, linear = len(size_kw), len(size_kw) + len(rows)
    metric = np.diag(weight[:agents]) + rows.T @ (weight[agents:linear, None] * rows)
    parts: dict[str, Any] = {
        "blocks": tuple(blocks),
        "rows": rows,
        "offset_kw": np.vstack([block.offset_kw for block in blocks]),
        "weight": weight,
    }
    if curved is None:
        return Coupling(inverse=np.asarray(np.linalg.inv(metric)), **parts)
    leading = linear + len(curved.lead)
    metric = metric + curved.curvature
    metric += curved.lead.T @ (weight[linear:leading, None] * curved.lead)
    inverse: Floats = np.asarray(np.linalg.inv(metric))
    reach = np.matmul(inverse, curved.slopes.transpose(0, 2, 1))
    small = np.diag(1.0 / weight[leading:]) + np.matmul(curved.slopes, reach)
    return CurvedCoupling(
        inverse=inverse, curved=curved, reach=reach, capacitance=np.linalg.inv(small), **parts
    )

"""On the same rows agreed envelopes cost no more than operating ones: the check of a theorem.

Every box that a DOE gives is one that may be agreed, so the joint optimum is at most the cost
inside it. Certification changes the rows with the boxes; so here all work on the linear rows,
uncertified. Of losses and volumes the theorem says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from peergrid.envelopes.doe import OBJECTIVES, Objective, allocate
from peergrid.envelopes.rows import linear_rows
from peergrid.market.clearing import clear
from peergrid.operator.negotiate import agreement, inside
from peergrid.study.case import Case


@dataclass(frozen=True, kw_only=True)
class SameRows:
    """Costs of a day on the same rows [EUR]: agreed envelopes, and a DOE by each objective."""

    joint_eur: float
    doe_eur: dict[str, float]

    @property
    def advantage(self) -> float:
        """By how much the best DOE costs more, relative; never negative but for tolerances."""
        return (min(self.doe_eur.values()) - self.joint_eur) / max(abs(self.joint_eur), 1.0)


def on_same_rows(case: Case, objectives: Sequence[Objective] = OBJECTIVES) -> SameRows:
    """Clear a day inside agreed and inside operating envelopes on the same rows, centrally."""
    rows, room = linear_rows(case.limits, case.room.most), case.room
    terms = replace(case.problem, agreement=agreement(case.problem, rows, room))
    joint = clear(terms, method="central", network="agreement")
    found: dict[str, float] = {}
    for objective in objectives:
        boxes = allocate(rows, case.offer, objective).boxes
        limited = inside(case.problem, boxes, room)
        found[objective] = clear(limited, method="central").objective_eur
    return SameRows(joint_eur=joint.objective_eur, doe_eur=found)

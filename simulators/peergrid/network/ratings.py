"""Thermal ratings of branches: which given values are ratings, and what is assumed elsewhere.

Benchmark feeders carry no ratings, or placeholders such as 99999 kA. A branch without a usable
rating gets the smallest standard current that is at least ``LOAD_MARGIN`` times its current in the
base case and at least ``SMALLEST_KA``. Standard currents are the R10 series of IEC 60059 (1, 1.25,
1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8 and their decimal multiples). Such ratings are marked
``rating_assumed``; results that rest on them say so.
"""

from dataclasses import replace

import numpy as np

from peergrid.network.feeder import Bools, Feeder, Floats
from peergrid.network.power_flow import base_injections, solve
from peergrid.units import mw_from_kw

SMALLEST_KA = 0.2
LOAD_MARGIN = 1.3
PLACEHOLDER_KA = 10.0
PLACEHOLDER_MVA = 9999.0
_R10 = np.array([1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0, 10.0])


def is_line_rating(i_max_ka: Floats) -> Bools:
    """True where a line's current is a rating, not a placeholder (0, NaN, 10 kA and more).

    >>> is_line_rating(np.array([0.421, 0.0, np.nan, 99999.0]))
    array([ True, False, False, False])
    """
    return np.asarray((i_max_ka > 0.0) & (i_max_ka < PLACEHOLDER_KA), dtype=np.bool_)


def is_trafo_rating(sn_mva: Floats) -> Bools:
    """True where a transformer's power is a rating, not a placeholder (0, NaN, 9999 MVA)."""
    return np.asarray((sn_mva > 0.0) & (sn_mva < PLACEHOLDER_MVA), dtype=np.bool_)


def assumed_rating_ka(i_base_case_ka: Floats) -> Floats:
    """Assumed rating [kA] of branches that carry these currents [kA] in the base case.

    >>> assumed_rating_ka(np.array([0.0, 0.1, 0.21, 0.9]))
    array([0.2  , 0.2  , 0.315, 1.25 ])
    """
    wanted = np.maximum(LOAD_MARGIN * np.nan_to_num(i_base_case_ka), SMALLEST_KA)
    decade = 10.0 ** np.floor(np.log10(wanted))
    # the small allowance keeps 0.2 at 0.2 when it comes back as 2.0000000000000004
    step = np.searchsorted(_R10, wanted / decade * (1.0 - 1e-12))
    return np.asarray(np.round(_R10[step] * decade, 9), dtype=np.float64)


def with_assumed_ratings(feeder: Feeder) -> Feeder:
    """The same feeder with assumed ratings, from the nominal load, where they are infinite."""
    missing = ~np.isfinite(feeder.i_max_ka)
    missing[0] = False
    child, parent_end = feeder.i_max_ka.copy(), feeder.i_max_parent_ka.copy()
    child[0] = parent_end[0] = 0.0
    if np.any(missing):
        assumed = assumed_rating_ka(base_case_current_ka(feeder))
        vn_parent = feeder.vn_kv[np.maximum(feeder.parent, 0)]
        child[missing] = assumed[missing]
        parent_end[missing] = (assumed * feeder.vn_kv / vn_parent)[missing]
    return replace(
        feeder,
        i_max_ka=child,
        i_max_parent_ka=parent_end,
        rating_assumed=missing | feeder.rating_assumed,
    )


def base_case_current_ka(feeder: Feeder) -> Floats:
    """Series current of each branch under the nominal load [kA], shape (n,).

    Where the nominal load has no power flow solution: the apparent power downstream, lossless, at
    nominal voltage.
    """
    base_case = solve(feeder, *base_injections(feeder))
    if base_case.converged[0]:
        return base_case.i_series_ka[:, 0]
    p_kw, q_kvar = feeder.p_load_kw.copy(), feeder.q_load_kvar.copy()
    for i in range(feeder.n_bus - 1, 0, -1):
        p_kw[feeder.parent[i]] += p_kw[i]
        q_kvar[feeder.parent[i]] += q_kvar[i]
    return np.asarray(mw_from_kw(np.hypot(p_kw, q_kvar)) / (np.sqrt(3.0) * feeder.vn_kv))

"""Whether searches differ: Friedman's test and Wilcoxon's signed ranks, seeds as blocks.

J. Demsar, "Statistical comparisons of classifiers over multiple data sets", J. Mach. Learn. Res. 7,
2006. Scores within a millionth of each other are ties.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
LEAST_SEEDS = 5
EXACT_SEEDS = 50
LEVEL = 0.05
SAME = 1e-6


def rank_test(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Compare methods on the same seeds.

    Parameters
    ----------
    scores
        By method, a score per seed in the same order; lower is better, infinite is worst.

    Returns
    -------
    ``possible`` and, if not, ``reason``; else ``mean_rank`` (1 is best), ``friedman`` (None for two
    methods) with ``statistic`` and ``p``, and ``pairs``, each with ``p``, ``p_holm``, ``exact``,
    ``different`` and the ``better`` one, None where the ranks of both sums are the same.
    """
    names = list(scores)
    seeds = len(next(iter(scores.values()), ()))
    if len(names) < 2 or seeds < LEAST_SEEDS:
        reason = f"{len(names)} search(es) on {seeds} seed(s) they share"
        least = f"at least 2 on {LEAST_SEEDS}"
        return {"possible": False, "seeds": seeds, "reason": f"{reason}: no test; {least}"}
    table = tied(np.array([scores[name] for name in names], dtype=np.float64))
    ranks = stats.rankdata(table, axis=0)
    pairs = [pair(names, table, i, k) for i, k in combinations(range(len(names)), 2)]
    for one, p in zip(pairs, holm([one["p"] for one in pairs]), strict=True):
        one.update({"p_holm": p, "different": p <= LEVEL})
    return {
        "possible": True,
        "seeds": seeds,
        "mean_rank": dict(zip(names, ranks.mean(axis=1).tolist(), strict=True)),
        "friedman": friedman(table) if len(names) > 2 else None,
        "pairs": pairs,
        "least_p": min(1.0, len(pairs) * 2.0 ** (1 - seeds)),
    }


def tied(scores: Floats) -> Floats:
    """Scores with those made equal that differ by no more than a millionth."""
    finite = scores[np.isfinite(scores)]
    grain = SAME * max(float(np.abs(finite).min(initial=np.inf)), 1e-9) if finite.size else 1.0
    levels = np.unique(scores)
    steps = np.concatenate([[True], np.diff(levels) > grain]) if len(levels) else np.zeros(0, bool)
    firsts = levels[np.maximum.accumulate(np.where(steps, np.arange(len(levels)), 0))]
    return np.asarray(firsts[np.searchsorted(levels, scores)])


def friedman(table: Floats) -> dict[str, float]:
    """Friedman's test over the blocks ``(method, seed)``, corrected for ties; p by chi squared."""
    if (table == table[0]).all():
        return {"statistic": 0.0, "p": 1.0}
    found = stats.friedmanchisquare(*stats.rankdata(table, axis=0))
    return {"statistic": float(found.statistic), "p": float(found.pvalue)}


def pair(names: Sequence[str], table: Floats, i: int, k: int) -> dict[str, Any]:
    """Wilcoxon's test of two methods."""
    with np.errstate(invalid="ignore"):
        differences = np.where(table[i] == table[k], 0.0, table[i] - table[k])
    p, up, down = signed_rank(differences)
    better = None if up == down else names[i] if down > up else names[k]
    used = int((differences != 0.0).sum())
    return {"pair": [names[i], names[k]], "p": p, "better": better, "exact": used <= EXACT_SEEDS}


def signed_rank(differences: Floats) -> tuple[float, float, float]:
    """Two-sided p, and the sums of the ranks of positive and of negative differences.

    Zeros are left out. The distribution is that of all signs of the ranks at hand, so it is exact
    with ties as well, up to :data:`EXACT_SEEDS` differences; the normal one beyond.
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[d != 0.0]
    if not len(d):
        return 1.0, 0.0, 0.0
    ranks = stats.rankdata(np.abs(d))
    up, down = float(ranks[d > 0.0].sum()), float(ranks[d < 0.0].sum())
    if len(d) > EXACT_SEEDS:
        low = min(up, down) - 0.5 * ranks.sum()
        spread = 0.5 * float(np.sqrt((ranks**2).sum()))
        return min(1.0, 2.0 * float(stats.norm.cdf(low / spread))), up, down
    doubled = np.rint(2.0 * ranks).astype(int)
    ways = np.ones(1)
    for rank in doubled:
        longer = np.zeros(len(ways) + rank)
        longer[: len(ways)] += ways
        longer[rank:] += ways
        ways = longer
    tail = ways[: round(2.0 * min(up, down)) + 1].sum() / ways.sum()
    return min(1.0, 2.0 * float(tail)), up, down


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of p values for their number.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected, largest = [0.0] * len(p_values), 0.0
    for k, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - k) * p_values[at]))
        corrected[at] = largest
    return corrected

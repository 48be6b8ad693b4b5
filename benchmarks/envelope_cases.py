"""What the benchmark of envelopes is run on, and by which methods."""

from peergrid.errors import DataError
from peergrid.study.methods import METHODS

DEFAULT = (
    "base",
    "none",
    "static",
    "doe-equal",
    "doe-prop",
    "doe-log",
    "dfe-two-stage",
    "dfe-joint",
    "dfe-joint-loss",
)


def chosen(methods: str | None) -> tuple[str, ...]:
    """Methods from a comma-separated list; the usual ones by default."""
    if methods is None:
        return DEFAULT
    names = tuple(name.strip() for name in methods.split(",") if name.strip())
    for name in names:
        if name not in METHODS:
            raise DataError("benchmark", "--methods", name, ", ".join(METHODS))
    if not names:
        raise DataError("benchmark", "--methods", methods, ", ".join(METHODS))
    return names


def is_random(case: str) -> bool:
    """Whether a case is drawn from a seed."""
    return case.startswith("random:")

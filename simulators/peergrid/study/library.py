"""The days that come with the package, and finding one by what a user writes."""

import re
from importlib.resources import as_file, files
from pathlib import Path

from peergrid.errors import DataError
from peergrid.inputs.communities import Communities, read_communities
from peergrid.study.case import Case, build_case
from peergrid.study.random_case import random_case

SHIPPED = ("ieee33", "ieee69")
_RANDOM = re.compile(r"random:(\d+)")


def load_case(name: str) -> Case:
    """A shipped day, a file of communities, or a random one.

    Parameters
    ----------
    name
        "ieee33", "ieee69", a path that ends in ".toml", or "random:SEED".

    Raises
    ------
    DataError
        If there is no such day, or the file cannot be used.
    """
    if name in SHIPPED:
        return build_case(shipped(name))
    drawn = _RANDOM.fullmatch(name)
    if drawn:
        return random_case(int(drawn[1]))
    if not name.endswith(".toml"):
        allowed = f"{', '.join(SHIPPED)}, a file of communities (FILE.toml) or random:SEED"
        raise DataError("study", "case", name, allowed)
    return build_case(read_communities(Path(name)))


def shipped(name: str) -> Communities:
    """Communities of a day that comes with the package, one of ``SHIPPED``."""
    with as_file(files("peergrid.study") / "data" / f"{name}.toml") as path:
        return read_communities(path)


def is_shipped(name: str, which: str) -> bool:
    """Whether a name, or the file behind it, stands for this shipped day."""
    if name.endswith(".toml"):
        return read_communities(Path(name)) == shipped(which)
    return name == which

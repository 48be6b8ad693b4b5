"""Reading the data files that ship with the package, and independent random streams."""

import zlib
from importlib.resources import as_file, files

import numpy as np
import pandas as pd


def packaged(kind: str, name: str) -> pd.DataFrame:
    """Table ``data/<kind>/<name>`` of this package (plain or gzipped CSV)."""
    with as_file(files("peergrid.inputs") / "data" / kind / name) as path:
        return pd.read_csv(path, compression="gzip" if name.endswith(".gz") else None)


def stream(seed: int, what: str, *keys: int) -> np.random.Generator:
    """Random stream that depends on the seed, a purpose and entity numbers, and on nothing else.

    So entity 3 draws the same numbers whether 4 or 400 entities exist ("prefix-stable").

    >>> float(stream(1, "loads", 3).random()) == float(stream(1, "loads", 3).random())
    True
    """
    key = (zlib.crc32(what.encode()), *keys)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))

"""Results of a run: an HDF5 file, its writer, its reader, exports and figures of merit."""

from peergrid.results.export import to_csv, to_parquet
from peergrid.results.metrics import summary
from peergrid.results.reader import open_events, open_run, read_state
from peergrid.results.writer import RunFile, RunHeader, mark_failed

__all__ = [
    "RunFile",
    "RunHeader",
    "mark_failed",
    "open_events",
    "open_run",
    "read_state",
    "summary",
    "to_csv",
    "to_parquet",
]

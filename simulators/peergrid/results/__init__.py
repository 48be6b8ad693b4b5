"""Results: HDF5 files of runs and plans, writers, readers, exports and figures of merit."""

from peergrid.results.export import to_csv, to_parquet
from peergrid.results.metrics import summary
from peergrid.results.plans import PlanContent, PlanRecord, open_plans, write_plans
from peergrid.results.reader import open_events, open_run, read_state
from peergrid.results.writer import RunFile, RunHeader, mark_failed

__all__ = [
    "PlanContent",
    "PlanRecord",
    "RunFile",
    "RunHeader",
    "mark_failed",
    "open_events",
    "open_plans",
    "open_run",
    "read_state",
    "summary",
    "to_csv",
    "to_parquet",
    "write_plans",
]

"""Who trades what at which price: private problems, ADMM, coupling blocks, settlement."""

from peergrid.market.admm import Settings, Status
from peergrid.market.clearing import clear
from peergrid.market.problem import Grid, Problem
from peergrid.market.result import Clearing, Warm

__all__ = ["Clearing", "Grid", "Problem", "Settings", "Status", "Warm", "clear"]

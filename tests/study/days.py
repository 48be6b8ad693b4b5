"""The shipped days, each method run once."""

from functools import cache

from peergrid.study.case import Case
from peergrid.study.day import Day
from peergrid.study.library import load_case
from peergrid.study.methods import run


@cache
def case(name: str) -> Case:
    return load_case(name)


@cache
def day(name: str, method: str) -> Day:
    return run(case(name), method)

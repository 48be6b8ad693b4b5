"""Calling the command in this process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from loguru import logger

from peergrid.cli.main import main


@dataclass(frozen=True)
class Result:
    """What the command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def peergrid(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``peergrid`` with arguments; returns its exit status and what it wrote."""

    def call(*args: object) -> Result:
        monkeypatch.setattr("sys.argv", ["peergrid", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        logger.remove()
        written = capsys.readouterr()
        return Result(int(left.value.code or 0), written.out, written.err)

    return call

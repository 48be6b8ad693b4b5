"""The README's commands and code blocks work, in the order in which they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [body for name, body in BLOCK.findall(TEXT) if name == language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the README were run."""
    path = tmp_path_factory.mktemp("readme")
    (path / "scenarios").symlink_to(ROOT / "scenarios")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks("console"):
        for line in block.splitlines():
            command = shlex.split(line.removeprefix("$ "), comments=True)
            done = subprocess.run(command, cwd=path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
    return path


def test_the_commands_leave_what_they_say(folder: Path) -> None:
    assert list((folder / "my").glob("*.toml"))
    assert (folder / "short.h5").stat().st_size > 0
    assert list((folder / "short").glob("*.csv"))


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_code_runs(folder: Path, number: int) -> None:
    code = blocks("python")[number]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_one_simulator_takes_fifteen_lines() -> None:
    code = next(block for block in blocks("python") if "mosaik.World" in block)
    body = [line for line in code.splitlines() if line.strip() and not line.startswith("import")]
    assert len(body) <= 16


def test_the_picture_and_the_files_it_names_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert "docs/images/day.png" in links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_picture_is_drawn_from_a_file(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "day.png"
    script = str(ROOT / "analysis" / "day.py")
    command = [sys.executable, script, "short.h5", "--out", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")

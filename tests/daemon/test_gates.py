"""`--verify` commands that a killed daemon has left running."""

import os
import subprocess  # noqa: TID251 - real commands
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core import WG_DIR, plan_host
from workgraph.daemon import gates

pytestmark = pytest.mark.slow


@contextmanager
def a_command(wg_dir: Path, **marks: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that runs for a project, and a child of it."""
    with subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 & echo runs; wait"],
        env={"PATH": os.defpath, "WG_DIR": str(wg_dir)} | marks,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        try:
            yield process
        finally:
            os.killpg(process.pid, 9)


async def test_what_runs_of_a_gate_is_ended(tmp_path: Path) -> None:
    """The shell and what it has started."""
    with a_command(tmp_path / ".wg", WG_GATE="verify") as gate:
        found = await gates.end_earlier(str(tmp_path / ".wg"))

        assert found == 2
        assert gate.wait() == -9
        assert await gates.end_earlier(str(tmp_path / ".wg")) == 0


async def test_others_are_let_alone(tmp_path: Path) -> None:
    """Gates of other projects, and what is no gate."""
    here, elsewhere = tmp_path / "a" / ".wg", tmp_path / "b" / ".wg"
    with a_command(elsewhere, WG_GATE="verify") as other, a_command(here) as mine:
        assert await gates.end_earlier(str(here)) == 0

        assert other.poll() is None
        assert mine.poll() is None


def test_runs_of_tests_at_the_same_time_leave_each_others_gates_alone() -> None:
    """A core that starts ends the gates of its project: each run has its own."""
    other = subprocess.run(
        [sys.executable, "-c", "from tests.core import WG_DIR; print(WG_DIR)"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    assert other.stdout.strip() not in {"", WG_DIR}
    assert plan_host().wg_dir == WG_DIR

"""`wg output` of an agent whose stream is structured."""

import shutil
from pathlib import Path

import pytest

from tests.agents.streams.recorded import SAMPLES
from tests.system.project import a_project, wait_for

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

TEXT = """Starting.
$ wg log T-1 starting
   wg-stub ok: log T-1 starting
$ wg done T-1
   wg-stub ok: done T-1
Finished T-1.
-- finished; tokens: 1200 in, 400 cached, 90 out; 0.0067 USD
"""


def test_a_stream_is_read_as_text(tmp_path: Path) -> None:
    """Whole, while it grows, later when its executor is gone; or as it is."""
    with a_project(tmp_path / "p") as p:
        shutil.copy(SAMPLES / "claude/success.jsonl", p.folder / "stream")
        script = "head -n 4 stream; while [ ! -e on ]; do sleep 0.05; done;"
        argv = ["sh", "-c", f"{script} tail -n +5 stream; echo oops >&2"]
        config = p.folder / ".wg/config.toml"
        before = config.read_text()
        config.write_text(
            f'{before}\n[executors.like]\nargv = {argv!r}\nstream = "claude"\n'
            'prompt = "file"\n'
        )
        p.start_daemon()
        p.wg("add", "job", "--max-attempts", "1", "--executor", "like")
        output = p.folder / ".wg/agents/agent-1/output.log"
        lines = TEXT.splitlines(keepends=True)
        wait_for(
            lambda: output.exists() and p.wg("output", "agent-1") == "".join(lines[:3]),
            "the first half",
        )
        (p.folder / "on").touch()

        followed = p.wg("output", "-f", "agent-1")
        config.write_text(before)
        p.wg("service", "reload")

        assert followed == TEXT
        assert p.wg("output", "agent-1") == f"{TEXT}--- stderr ---\noops\n"
        assert p.json("output", "agent-1")["output"] == TEXT
        raw = (p.folder / "stream").read_text()
        assert p.wg("output", "--raw", "agent-1") == f"{raw}oops\n"
        assert p.wg("output", "--raw", "-f", "agent-1") == raw

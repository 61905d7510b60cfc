"""Running the gates: promised outputs are looked for, `--verify` commands are run."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import anyio
import anyio.to_thread

from workgraph.graph.errors import may_pass
from workgraph.graph.model import Record
from workgraph.graph.times import format_duration

if TYPE_CHECKING:
    from workgraph.daemon.effects import RunGate

#: How much of a command's output is kept as evidence, from its end.
_EVIDENCE_BYTES: Final = 4000


class Verdict(Record, frozen=True, kw_only=True):
    """What a gate said, and why."""

    passed: bool
    evidence: str


async def run_gate(order: RunGate) -> Verdict:
    """Runs one gate; a gate that can't be run has not been passed.

    Raises:
        OSError: The machine has no room for it just now: that is no verdict.
    """
    if order.gate == "outputs":
        return await anyio.to_thread.run_sync(_find_outputs, order)
    for command in order.commands:
        evidence = await _run_command(command, order)
        if evidence is not None:
            return Verdict(passed=False, evidence=evidence)
    return Verdict(passed=True, evidence="")


def _find_outputs(order: RunGate) -> Verdict:
    missing = [
        output
        for output in order.outputs
        if not (Path(order.working_dir) / output).exists()
    ]
    if missing:
        return Verdict(
            passed=False, evidence=f"promised outputs are missing: {', '.join(missing)}"
        )
    return Verdict(passed=True, evidence="")


async def _run_command(command: str, order: RunGate) -> str | None:
    """Runs one command; gives what is wrong with its end, or null."""
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=order.working_dir,
                env=order.env,
                start_new_session=True,
            )
        except OSError as error:
            if may_pass(error):
                raise
            return f"--verify {command!r} can't be run: {error.strerror}"
        how = None
        try:
            with anyio.move_on_after(order.timeout_s) as limit:
                status = await process.wait()
            if limit.cancelled_caught:
                how = f"took longer than {format_duration(order.timeout_s)}"
            elif status != 0:
                how = f"exited with {status}" if status > 0 else f"signal {-status}"
        finally:
            # What it left in its group ends with it, as an agent's tree does.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.wait()
        if how is None:
            return None
        tail = await anyio.to_thread.run_sync(_tail, output)
    return f"--verify {command!r} {how}" + (f":\n{tail}" if tail else "")


def _tail(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _EVIDENCE_BYTES, 0))
    return output.read().decode("utf-8", "replace").strip()

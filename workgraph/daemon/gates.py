"""Running the gates: promised outputs are looked for, commands are run.

The commands are a task's `--verify`, or the `--until` of a loop.

A gate ends with the daemon that judges it, or, where that was killed, with the next
one's start: it is run again from its beginning.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import anyio
import anyio.to_thread

from workgraph.agents.redact import redact, secrets_in
from workgraph.daemon.artifacts import take_file
from workgraph.graph.errors import MachineError, UserError, may_pass
from workgraph.graph.facts import GatesJudged
from workgraph.graph.inputs import FoundOutput
from workgraph.graph.loops import GATE
from workgraph.graph.model import Record
from workgraph.graph.times import format_duration

if TYPE_CHECKING:
    from workgraph.daemon.orders import RunGate

#: How long what an earlier daemon left running is looked for.
_LIMIT_S: Final = 5.0
_PASS_MS: Final = 100
#: How much of a command's output is kept as evidence, from its end.
_EVIDENCE_BYTES: Final = 4000


class Verdict(Record, frozen=True, kw_only=True):
    """What a gate said, and why."""

    passed: bool
    evidence: str = ""
    #: Promised outputs, as they were when they were looked for.
    found: tuple[FoundOutput, ...] = ()


async def judge_gate(order: RunGate, readers: anyio.CapacityLimiter) -> GatesJudged:
    """Runs one gate; a gate that can't be run has not been passed.

    Args:
        order: What is to be looked for or run.
        readers: How many files are read through at the same time.

    Raises:
        OSError: The machine has no room for it just now: that is no verdict.
    """
    if order.gate == "outputs":
        verdict = await anyio.to_thread.run_sync(_find_outputs, order, limiter=readers)
    else:
        verdict = await _run_commands(order)
    return GatesJudged(
        task=order.task,
        agent=order.agent,
        handed_in=order.handed_in,
        gate=order.gate,
        failed=None if verdict.passed else order.gate,
        evidence=verdict.evidence,
        found=verdict.found,
    )


async def end_earlier(wg_dir: str) -> int:
    """Ends `--verify` commands that a killed daemon of this project has left running.

    They would run beside the ones that are started in their place, and nobody would
    hold them to a limit.

    Returns:
        How many processes were found.
    """
    return await anyio.to_thread.run_sync(_end_earlier, wg_dir)


def _end_earlier(wg_dir: str) -> int:
    seen: set[int] = set()
    until = time.monotonic() + _LIMIT_S
    while found := _find_earlier(wg_dir):
        seen.update(found)
        waiting = select.poll()
        for fd in found.values():
            with suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            waiting.register(fd, select.POLLIN)
        waiting.poll(_PASS_MS)
        for fd in found.values():
            os.close(fd)
        if time.monotonic() > until:
            break
    return len(seen)


def _find_earlier(wg_dir: str) -> dict[int, int]:
    """Processes with the mark that each gate is given, by pid, with a pidfd of each."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or (pid := int(name)) == os.getpid():
            continue
        with suppress(OSError):
            # before the look: then the number can't become another's unnoticed
            fd = os.pidfd_open(pid)
            if _is_gate_of(pid, wg_dir):
                found[pid] = fd
            else:
                os.close(fd)
    return found


def _is_gate_of(pid: int, wg_dir: str) -> bool:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if not any(entry.startswith(b"WG_GATE=") for entry in entries):
        return False
    where = next((x[7:] for x in entries if x.startswith(b"WG_DIR=")), b"")
    return os.path.realpath(os.fsdecode(where)) == os.path.realpath(wg_dir)


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
    found, refused = [], []
    for output in order.outputs:
        path = os.path.join(order.working_dir, output)
        if not os.path.isfile(path):
            continue  # a folder is as good, and no artifact
        try:
            file = take_file(path, order.copies, order.within)
        except MachineError as error:
            if isinstance(error.__cause__, OSError) and may_pass(error.__cause__):
                raise error.__cause__ from None
            refused.append(error.message)
        except UserError as error:
            refused.append(error.message)
        else:
            found.append(FoundOutput(name=output, file=file))
    evidence = f"not recorded: {'; '.join(refused)}" if refused else ""
    return Verdict(passed=True, evidence=evidence, found=tuple(found))


async def _run_commands(order: RunGate) -> Verdict:
    option = "--until" if order.gate == GATE else "--verify"
    for command in order.commands:
        evidence = await _run_command(command, order)
        if evidence is not None:
            return Verdict(passed=False, evidence=f"{option} {evidence}")
    return Verdict(passed=True)


async def _run_command(command: str, order: RunGate) -> str | None:
    """Runs one command; gives what is wrong with its end, or null."""
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *order.sandbox,
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
            return f"{command!r} can't be run: {error.strerror}"
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
    said = redact(tail, secrets_in(order.env))
    return f"{command!r} {how}" + (f":\n{said}" if said else "")


def _tail(output: BinaryIO) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _EVIDENCE_BYTES, 0))
    return output.read().decode("utf-8", "replace").strip()

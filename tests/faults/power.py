"""Opens what a power cut has left, as the next start of workgraph does, and judges it.

`python -m tests.faults.power JOB` does so for many cuts, in a mount namespace where the
machine has another boot id, and prints what it found as JSON.
"""

import asyncio
import ctypes
import json
import os
import shutil
import sqlite3
import sys
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import anyio

from tests.faults.disk import FATES, Disk
from tests.faults.trace import Trace, parse
from tests.invariants import check_invariants
from workgraph import logs
from workgraph.agents.process import RealLauncher
from workgraph.daemon.alarm import SystemClock
from workgraph.daemon.assembly import Parts, running_engine
from workgraph.daemon.configuration import Configuration
from workgraph.daemon.engine import Mode
from workgraph.store.database import Tx

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18

#: What an acknowledged request must have left, by kind, as a query that finds it.
PROOFS = {
    "project": "select 1 from identities where kind = 'actor' and name = 'default'",
    "task": "select 1 from tasks where id = ?",
    "log": "select 1 from changes where kind = 'log' and task = ? and reason = ?",
    "priority": "select 1 from tasks where id = ? and priority = ?",
    "done": "select 1 from tasks where id = ? and status = 'done'",
    "edge": "select 1 from edges where task = ? and dep = ?",
    "artifact": "select 1 from artifacts where task = ? and name = ?",
    "paused": "select 1 from tasks where id = ? and paused = 1",
}


class CutError(AssertionError):
    """Something that was promised is not there after a cut."""


def main(job_file: str) -> None:
    """Does a job: traces, what was acknowledged when, and the cuts to be judged."""
    job = json.loads(Path(job_file).read_text("utf-8"))
    enter_new_boot(Path(job["scratch"]))
    disk = Disk(Path(job["base"]), sync=job["sync"])
    disk.path = job["path"]
    trace = parse(Path(job["trace"]))
    disk.record(trace)
    found: list[dict[str, Any]] = []
    scratch = Path(job["scratch"])
    for seed, cut, fate in cuts(trace, job["acknowledged"], job["seeds"]):
        folder = scratch / f"cut-{seed}"
        acknowledged = [proof for at, *proof in job["acknowledged"] if at < cut]
        try:
            disk.build(cut, fate, Random(seed), folder)
            add_records(folder, Path(job["path"]), Random(seed))
            judge(folder, acknowledged)
        except Exception as error:
            found.append(
                {"seed": seed, "cut": cut, "fate": fate, "error": repr(error)[:2000]}
            )
            if not job["keep"]:
                shutil.rmtree(folder)
        else:
            shutil.rmtree(folder)
    json.dump({"cuts": len(job["seeds"]), "found": found}, sys.stdout)


def cuts(
    trace: Trace, acknowledged: Sequence[Sequence[Any]], seeds: Sequence[int]
) -> list[tuple[int, int, str]]:
    """A moment and a fate for each seed; every second one is just after an answer."""
    answers = [proof[0] for proof in acknowledged]
    chosen = []
    for seed in seeds:
        random = Random(seed)
        cut = random.randint(0, trace.moments)
        if seed % 2 and answers:
            cut = random.choice(answers) + 1
        chosen.append((seed, cut, FATES[seed // 2 % len(FATES)]))
    return chosen


def add_records(folder: Path, real: Path, random: Random) -> None:
    """What the agents' own shells wrote and nobody synced: all of it, a part, nothing.

    Args:
        real: The project after its run, with the records whole.
    """
    for agent in (folder / ".wg" / "agents").glob("agent-*"):
        for name in ("run", "exit"):
            whole = real / ".wg" / "agents" / agent.name / name
            if whole.exists() and random.random() < 0.7:
                content = whole.read_bytes()
                kept = random.choice((0, 1, len(content) // 2, len(content)))
                (agent / name).write_bytes(content[:kept])


def judge(folder: Path, acknowledged: Sequence[Sequence[Any]]) -> None:
    """Starts up in a folder and looks whether everything is as it must be."""
    wg_dir = folder / ".wg"
    if not wg_dir.exists():
        if acknowledged:
            message = "the project is gone"
            raise CutError(message)
        return
    folders = [int(f.name.split("-")[1]) for f in (wg_dir / "agents").glob("agent-*")]
    asyncio.run(start_up(wg_dir))
    database = wg_dir / "graph.db"
    assert not Path(f"{database}-wal").exists()
    with closing(sqlite3.connect(database)) as db:
        checked = db.execute("pragma integrity_check").fetchall()
        if checked != [("ok",)]:
            raise CutError(checked)
        for kind, *values in acknowledged:
            if not db.execute(PROOFS[kind], values).fetchone():
                message = f"{kind} {values} was acknowledged and is gone"
                raise CutError(message)
        rows = {row[0] for row in db.execute("select number from agents")}
        if unknown := set(folders) - rows:
            message = f"agents {unknown} were prepared before their claims were durable"
            raise CutError(message)
        live = "select number from agents where status <> 'ended' and human = 0"
        if unsettled := db.execute(live).fetchall():
            message = f"agents {unsettled} were not settled"
            raise CutError(message)


async def start_up(wg_dir: Path) -> None:
    """As `wg` without a daemon does before it answers."""
    env = {"PATH": os.defpath, "HOME": os.fspath(wg_dir)}
    parts = Parts(
        wg_dir=wg_dir,
        socket=os.fspath(wg_dir / "wgd.sock"),
        configuration=Configuration.load(wg_dir, env),
        clock=SystemClock(),
        launcher=RealLauncher(),
        mode=Mode(is_daemon=False, may_start=False),
        log=logs.NoLog(),
    )

    def check(tx: Tx) -> None:
        check_invariants(tx)

    with anyio.fail_after(60):
        async with running_engine(parts) as engine:
            await engine.settle()
            failing = [one for one in engine.reactors if not one.ok]
            assert not failing, failing
            await engine.store.read(check, engine.clock.now())


def enter_new_boot(scratch: Path) -> None:
    """Has this process, and those it starts, see another boot id than the machine's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    _mount(libc, b"none", b"/", _MS_REC | _MS_PRIVATE)
    file = scratch / f"boot-{os.getpid()}"
    file.write_text(f"{uuid.UUID(int=Random(0).getrandbits(128))}\n")
    _mount(libc, os.fsencode(file), _BOOT_ID.encode(), _MS_BIND)


def _mount(libc: Any, source: bytes, target: bytes, flags: int) -> None:
    if libc.mount(source, target, None, flags, None):
        raise OSError(ctypes.get_errno(), f"mount {os.fsdecode(target)}")


if __name__ == "__main__":
    main(sys.argv[1])

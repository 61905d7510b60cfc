import asyncio
import json
import os
import resource
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from msgspec import structs

from workgraph.agents import kill, signs
from workgraph.agents.process import (
    Adopted,
    Ended,
    Fate,
    LaunchOrder,
    RealLauncher,
    SpawnError,
    SweepTarget,
)
from workgraph.agents.setup import install_child_watcher, raise_open_files
from workgraph.graph.model import ProcessId

#: Writes down what it was given.
DUMP = """
import json, os, resource, sys
given = {
    "argv": sys.argv[2:],
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "stdin": sys.stdin.read(),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "signals": [
        x.strip() for x in open("/proc/self/status") if x[:6] in ("SigBlk", "SigIgn")
    ],
}
with open(sys.argv[1], "w") as file:
    json.dump(given, file)
"""


def _an_order(root: Path, *argv: str, agent: int = 1) -> LaunchOrder:
    return LaunchOrder(
        agent=agent,
        folder=f"{root}/.wg/agents/agent-{agent}",
        argv=argv,
        env={
            "PATH": "/usr/bin:/bin",
            "WG_AGENT_ID": f"agent-{agent}",
            "WG_DIR": f"{root}/.wg",
        },
        cwd=str(root),
    )


def _a_shell(root: Path, script: str, *argv: str, agent: int = 1) -> LaunchOrder:
    return _an_order(root, "/bin/sh", "-c", script, "sh", *argv, agent=agent)


async def _launch(launcher: RealLauncher, order: LaunchOrder) -> ProcessId:
    install_child_watcher()
    assert await launcher.prepare([order]) == {}
    return (await launcher.launch(order)).process


async def _run(order: LaunchOrder, launcher: RealLauncher | None = None) -> Ended:
    launcher = launcher or RealLauncher()
    await _launch(launcher, order)
    return await launcher.wait_ended(order.agent)


def _fifo(root: Path, name: str = "fifo") -> Path:
    path = root / name
    os.mkfifo(path)
    return path


async def _read(path: Path) -> str:
    return await anyio.to_thread.run_sync(path.read_text)


async def _write(path: Path, text: str = "\n") -> None:
    await anyio.to_thread.run_sync(path.write_text, text)


async def test_a_process_gets_exactly_the_order(tmp_path: Path) -> None:
    """Rules 36 and 101: argv, environment, folder and stdin; nothing is added."""
    out = tmp_path / "given.json"
    argv = (
        sys.executable,
        "-ISE",
        "-c",
        DUMP,
        str(out),
        "a b",
        "",
        "$x",
        "*",
        "-n",
        "'\"\\",
    )
    env = {"s": "1", "LC_ALL": "C.UTF-8", "EMPTY": "", "LINES_": "a\nb"}
    order = structs.replace(
        _an_order(tmp_path, *argv),
        env=env,
        files={"prompt.md": "do it\n", "plan.json": b"{}"},
        stdin=f"{tmp_path}/.wg/agents/agent-1/prompt.md",
    )

    ended = await _run(order, RealLauncher(nofile_soft=123))

    given = json.loads(await _read(out))
    signals = given.pop("signals")
    seen = {k: v for k, v in given["env"].items() if k not in {"PWD", "SHLVL", "_"}}
    assert ended == Ended(agent=1, fate=Fate.EXITED, exit_code=0)
    assert given | {"env": seen} == {
        "argv": list(argv[5:]),
        "env": env,
        "cwd": str(tmp_path),
        "stdin": "do it\n",
        "nofile": 123,
    }
    # Python itself ignores PIPE and XFSZ
    # Python ignores PIPE and XFSZ itself; the real-time ones are the test runner's.
    blocked, ignored = (int(line.split()[1], 16) & 0x7FFFFFFF for line in signals)
    assert (blocked, ignored) == (0, 0x01001000)


async def test_all_of_an_agent_is_nice(tmp_path: Path) -> None:
    """Also what its wrapper was just forking when the group was made nicer."""
    fifo = _fifo(tmp_path)
    launcher = RealLauncher()
    script = 'echo >"$1"; read -r x <"$1"; exit 0'
    order = structs.replace(_a_shell(tmp_path, script, str(fifo)), nice=3)
    process = await _launch(launcher, order)
    wanted = os.getpriority(os.PRIO_PROCESS, 0) + 3

    async with anyio.create_task_group() as group:
        group.start_soon(launcher.wait_ended, 1)
        await _read(fifo)
        # the lowest of the group; the test's time-out ends this if it never comes
        while os.getpriority(os.PRIO_PGRP, process.pid) != wanted:
            await anyio.lowlevel.checkpoint()
        await _write(fifo)


async def test_a_folder_is_private_and_complete(tmp_path: Path) -> None:
    """Everything but the owner is shut out; logs, a TMPDIR and the record are there."""
    order = structs.replace(
        _a_shell(tmp_path, "echo out; echo err >&2"),
        stderr_apart=True,
        files={"prompt.md": "x"},
    )

    await _run(order)

    modes = {
        path.name: oct(path.stat().st_mode & 0o777)
        for path in Path(order.folder).iterdir()  # noqa: ASYNC240 - a test may block
        if path.name not in {"run", "exit"}  # the agents' umask decides
    }
    assert modes == {
        "output.log": "0o600",
        "stderr.log": "0o600",
        "prompt.md": "0o600",
        "tmp": "0o700",
    }
    assert await _read(Path(order.folder, "output.log")) == "out\n"
    assert await _read(Path(order.folder, "stderr.log")) == "err\n"
    assert await _read(Path(order.folder, "exit")) == "0\n"


async def test_output_and_errors_share_a_log_in_order(tmp_path: Path) -> None:
    """Unless they are to be kept apart."""
    order = _a_shell(tmp_path, "echo a; echo b >&2; echo c; cat")

    await _run(order)

    assert await _read(Path(order.folder, "output.log")) == "a\nb\nc\n"


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("code", [0, 1, 2, 7, 75, 126, 127, 128, 129, 137, 143, 255])
async def test_exit_codes(tmp_path: Path, shell: str, code: int) -> None:
    """Codes that look like signals are codes where the shell tells them apart."""
    ended = await _run(_a_shell(tmp_path, f"exit {code}"), RealLauncher(shell))

    assert ended == Ended(agent=1, fate=Fate.EXITED, exit_code=code)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 10, 11, 13, 15])
async def test_signals(tmp_path: Path, shell: str, number: int) -> None:
    """The agent gets each signal with its default, the wrapper survives it."""
    order = _a_shell(tmp_path, f"kill -{number} $$")

    ended = await _run(order, RealLauncher(shell))

    assert ended == Ended(agent=1, fate=Fate.SIGNALED, signal=number)


@pytest.mark.parametrize("code", [130, 141])
async def test_codes_that_no_shell_tells_from_signals(
    tmp_path: Path, code: int
) -> None:
    """130 and 141 are taken for INT and PIPE: shells are silent about these."""
    ended = await _run(_a_shell(tmp_path, f"exit {code}"))

    assert ended == Ended(agent=1, fate=Fate.SIGNALED, signal=code - 128)


async def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    """The program is there and can't be run: 127 with the shell's words."""
    script = tmp_path / "script"
    script.write_text("#!/nonexistent/python\n")
    script.chmod(0o700)

    ended = await _run(_an_order(tmp_path, str(script)))

    assert (ended.fate, ended.exit_code) == (Fate.EXITED, 127)
    assert ended.detail.startswith("wg-agent: ")


async def test_starts_that_fail_say_why(tmp_path: Path) -> None:
    """One line with the value that is wrong."""
    install_child_watcher()
    launcher = RealLauncher()
    good = _a_shell(tmp_path, "exit 0")
    bad = [
        structs.replace(good, agent=1, cwd=f"{tmp_path}/none"),
        structs.replace(good, agent=2, argv=(f"{tmp_path}/gone",)),
        structs.replace(good, agent=3, argv=("/usr",)),
        structs.replace(good, agent=4, argv=("/bin/true", "x" * 200_000)),
        structs.replace(good, agent=5, argv=("/bin/true", "a\0b")),
        structs.replace(good, agent=6, stdin=f"{tmp_path}/prompt"),
        structs.replace(good, agent=7, env={"A=B": "c"}),
    ]
    bad = [
        structs.replace(o, folder=f"{tmp_path}/.wg/agents/agent-{o.agent}") for o in bad
    ]
    await launcher.prepare(bad)

    size = 10 + 200_001 + sum(len(k) + len(v) + 2 for k, v in good.env.items())
    said = []
    for order in bad:
        with pytest.raises(SpawnError) as caught:
            await launcher.launch(order)
        said.append(caught.value.message.replace(str(tmp_path), "ROOT"))

    assert said == [
        "the working directory ROOT/none can't be entered: No such file or directory",
        "ROOT/gone can't be used: No such file or directory",
        "/usr can't be used: it is not an executable file",
        f"arguments and environment are too long: {size} bytes in all",
        "/bin/true can't be started: embedded null byte",
        "ROOT/prompt can't be used: No such file or directory",
        "/bin/sh can't be started: illegal environment variable name",
    ]


async def test_prepare_names_what_it_could_not_make(tmp_path: Path) -> None:
    """One bad order does not stop the others."""
    good = _a_shell(tmp_path, "exit 0")
    bad = structs.replace(good, agent=2, folder="/dev/null/agent-2")
    odd = structs.replace(good, agent=3, files={"../x": ""})

    errors = await RealLauncher().prepare([bad, good, odd])

    assert errors == {
        2: "can't make /dev/null/agent-2: Not a directory",
        3: f"can't make {good.folder}: '../x' is not a plain name",
    }


async def test_leftovers_are_swept(tmp_path: Path) -> None:
    """Rule 93: a background process holds the lock after a success."""
    launcher = RealLauncher()
    order = _a_shell(tmp_path, "sleep 1000 & exit 0")
    process = await _launch(launcher, order)

    ended = await launcher.wait_ended(1)
    target = SweepTarget(agent=1, folder=order.folder, process=process)
    left = await launcher.sweep([target])

    assert ended.exit_code == 0
    assert left == {}
    assert await kill.find(target, boot_id=process.boot_id) == ()


@pytest.mark.parametrize(
    "escape",
    [
        'setsid sh -c \'echo $$ >"$0"; exec sleep 1000\' "$1" &',
        '(setsid env -i sh -c \'echo $$ >"$0"; exec sleep 1000\' "$1" &) &',
    ],
    ids=["session", "double-fork-env-i"],
)
async def test_what_escapes_is_swept(tmp_path: Path, escape: str) -> None:
    """By its environment, and with that cleared by the lock it has inherited."""
    fifo = _fifo(tmp_path)
    launcher = RealLauncher()
    order = _a_shell(tmp_path, escape + " exit 0", str(fifo))
    process = await _launch(launcher, order)
    pid = int(await _read(fifo))
    await launcher.wait_ended(1)
    escaped = signs.read_stat(pid)

    target = SweepTarget(agent=1, folder=order.folder, process=process)
    left = await launcher.sweep([target])

    assert escaped is not None
    assert escaped.alive
    assert left == {}
    after = signs.read_stat(pid)
    assert after is None or not after.alive


async def test_a_killed_wrapper_is_lost_and_its_agent_ended(tmp_path: Path) -> None:
    """Nobody saw the agent's end: it is made sure that there is one."""
    fifo = _fifo(tmp_path)
    launcher = RealLauncher(orphan_grace_s=5)
    order = _a_shell(tmp_path, 'echo $$ >"$1"; exec sleep 1000', str(fifo))
    process = await _launch(launcher, order)
    pid = int(await _read(fifo))

    os.kill(process.pid, signal.SIGKILL)
    ended = await launcher.wait_ended(1)

    assert ended.fate is Fate.LOST
    stat = signs.read_stat(pid)
    assert stat is None or not stat.alive


async def test_settle_another_boot_is_lost(tmp_path: Path) -> None:
    """A pid without a status, from before the machine was restarted."""
    order = _a_shell(tmp_path, "exit 0")
    launcher = RealLauncher()
    await launcher.prepare([order])
    await _write(Path(order.folder, "run"), f"{os.getpid()}\n")
    before = ProcessId(pid=os.getpid(), boot_id="other", start_ticks=1)

    ended = await launcher.settle(1, order.folder, None, before)

    assert isinstance(ended, Ended)
    assert ended.fate is Fate.LOST


@pytest.mark.parametrize(
    ("run", "fate"),
    [("", Fate.NEVER_STARTED), ("12", Fate.NEVER_STARTED), ("12\n", Fate.LOST)],
)
async def test_settle_a_recorded_wrapper_that_died(
    tmp_path: Path, run: str, fate: Fate
) -> None:
    """Killed before it traps signals, it has not started anything."""
    order = _a_shell(tmp_path, "exit 0")
    launcher = RealLauncher()
    await launcher.prepare([order])
    await _write(Path(order.folder, "run"), run)
    dead = ProcessId(pid=os.getpid(), boot_id=kill.read_boot_id(), start_ticks=0)

    ended = await launcher.settle(1, order.folder, None, dead)

    assert isinstance(ended, Ended)
    assert ended.fate is fate


def _makes_a_file(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("x")


def _makes_a_loop(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder)


def _makes_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "run")
    os.mkfifo(folder / "exit")


def _makes_folders(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "exit").mkdir()


def _makes_a_link(folder: Path) -> None:
    (folder / "run").symlink_to("/nowhere")


def _writes_nonsense(folder: Path) -> None:
    (folder / "run").write_bytes(b"\xff\0nonsense\n0\n")


def _writes_no_status(folder: Path) -> None:
    (folder / "exit").write_text("nothing\n0\n")


def _makes_it_anew(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    (folder / "run").write_text("1\n0\n")
    (folder / "exit").write_text("0\n")


ATTACKS = (
    _makes_a_file,
    _makes_a_loop,
    _makes_a_pipe,
    _makes_folders,
    _makes_a_link,
    _writes_nonsense,
    _writes_no_status,
    _makes_it_anew,
)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_settle_knows_an_agent_by_what_it_did_to_its_record(
    tmp_path: Path, attack: Callable[[Path], None]
) -> None:
    """Its start was not recorded, but nothing before a start leaves such a thing."""
    order = _a_shell(tmp_path, "exit 0")
    launcher = RealLauncher()
    await launcher.prepare([order])
    attack(Path(order.folder))

    ended = await launcher.settle(1, order.folder, None, None)

    assert isinstance(ended, Ended)
    assert ended.fate is Fate.LOST
    assert ended.detail


async def _a_stray(root: Path, agent: int) -> Process:
    """A process that only its environment tells to be an agent's."""
    order = _a_shell(root, "", agent=agent)
    return await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", "read -r x"), stdin=PIPE, env=order.env
    )


async def test_one_search_tells_what_runs_of_many(tmp_path: Path) -> None:
    """Only of those who may be silent: one that lives is adopted without it."""
    install_child_watcher()
    launcher = RealLauncher()
    own = signs.read_stat(os.getpid())
    assert own is not None
    alive = ProcessId(
        pid=os.getpid(), boot_id=kill.read_boot_id(), start_ticks=own.start_ticks
    )
    targets = [
        SweepTarget(agent=n, folder=_a_shell(tmp_path, "", agent=n).folder, process=p)
        for n, p in ((1, None), (2, None), (3, alive))
    ]
    stray = await _a_stray(tmp_path, 2)

    found = await launcher.find_running(targets)
    nothing = await launcher.find_running(targets[2:])
    await stray.communicate(b"")

    pids = {agent: [p.pid for p in processes] for agent, processes in found.items()}
    assert pids == {1: [], 2: [stray.pid]}
    assert nothing == {}


async def test_settle_takes_the_word_of_a_search(tmp_path: Path) -> None:
    """Where it found nothing, none is made for one agent; where it did, it ran."""
    install_child_watcher()
    launcher = RealLauncher()
    order = _a_shell(tmp_path, "exit 0")
    stray = await _a_stray(tmp_path, 1)
    once = ProcessId(pid=stray.pid, boot_id=kill.read_boot_id(), start_ticks=0)

    unsearched = await launcher.settle(1, order.folder, None, None, ())
    alive = stray.returncode is None
    searched = await launcher.settle(1, order.folder, None, None)
    await stray.communicate(b"")
    gone_since = await launcher.settle(1, order.folder, None, None, (once,))

    assert alive
    fates = [x.fate for x in (unsearched, searched, gone_since) if isinstance(x, Ended)]
    assert fates == [Fate.NEVER_STARTED, Fate.LOST, Fate.LOST]


async def test_settle_half_a_folder_was_never_started(tmp_path: Path) -> None:
    """As a crash in the middle of `prepare` leaves it; or before it."""
    order = _a_shell(tmp_path, "exit 0")
    launcher = RealLauncher()

    absent = await launcher.settle(1, order.folder, None, None)
    await anyio.Path(order.folder).mkdir(parents=True)
    half = await launcher.settle(1, order.folder, None, None)

    assert absent == half == Ended(agent=1, fate=Fate.NEVER_STARTED)


@pytest.mark.parametrize("code", [1, 75, 127, 255])
@pytest.mark.parametrize("record", ["pipe", "folder"])
async def test_an_end_is_told_whatever_became_of_the_record(
    tmp_path: Path, record: str, code: int
) -> None:
    """What its wrapper left with says it; it is not taken for one that never ran."""
    make = "mkfifo run exit" if record == "pipe" else "mkdir run exit"
    order = _a_shell(tmp_path, f'cd "$1"; rm run; {make}; exit {code}', "")
    order = structs.replace(order, argv=(*order.argv[:-1], order.folder))

    ended = await _run(order)

    assert ended == Ended(agent=1, fate=Fate.EXITED, exit_code=code)


@pytest.mark.parametrize(
    "make", ["mkdir output.log", "mkfifo output.log", "ln -s output.log output.log"]
)
async def test_an_end_is_told_whatever_became_of_the_log(
    tmp_path: Path, make: str
) -> None:
    """127 may be a failed start, of which the shell has said something there."""
    order = _a_shell(tmp_path, f'cd "$1"; rm output.log; {make}; exit 127', "")
    order = structs.replace(order, argv=(*order.argv[:-1], order.folder))

    ended = await _run(order)

    assert ended == Ended(agent=1, fate=Fate.EXITED, exit_code=127)


@pytest.mark.parametrize("attack", ["rm run", 'rm -r "$PWD"', "echo x >run"])
async def test_a_signal_without_a_record_is_no_code(
    tmp_path: Path, attack: str
) -> None:
    """The shell's words are gone, that would tell one from the other."""
    order = _a_shell(tmp_path, f'cd "$1"; {attack}; kill -9 $$', "")
    order = structs.replace(order, argv=(*order.argv[:-1], order.folder))

    ended = await _run(order)

    assert ended.fate is Fate.LOST
    assert "137 may be a code or a signal" in ended.detail


async def test_settle_a_number_counts_whatever_the_boot(tmp_path: Path) -> None:
    """The agent had ended before the machine was restarted."""
    order = _a_shell(tmp_path, "exit 0")
    launcher = RealLauncher()
    await launcher.prepare([order])
    await _write(Path(order.folder, "run"), "1\n7\n")
    before = ProcessId(pid=1, boot_id="other", start_ticks=1)

    ended = await launcher.settle(1, order.folder, None, before)

    assert ended == Ended(agent=1, fate=Fate.EXITED, exit_code=7)


async def test_settle_adopts_though_the_folder_was_removed(tmp_path: Path) -> None:
    """The process is told by its identity; its end can't be known, and is lost."""
    fifo = _fifo(tmp_path)
    order = _a_shell(tmp_path, 'echo >"$1"; read -r x <"$1"', str(fifo))
    first, second = RealLauncher(), RealLauncher()
    install_child_watcher()
    await first.prepare([order])
    started = await first.launch(order)
    await _read(fifo)
    await anyio.to_thread.run_sync(os.rename, order.folder, f"{tmp_path}/elsewhere")

    found = await second.settle(1, order.folder, started.folder_inode, started.process)
    await _write(fifo)
    ended = await second.wait_ended(1)
    await first.wait_ended(1)

    assert found == Adopted(agent=1, process=started.process)
    assert ended.fate is Fate.LOST
    assert "folder" in ended.detail


def test_the_limit_of_open_files_is_raised_and_the_old_one_told() -> None:
    """Agents get what the daemon had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        old = raise_open_files()
        now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert old == 100
    assert now > 100

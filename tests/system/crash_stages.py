"""The work that leads a daemon to a point, and what must be so afterwards.

A stage is a generator. Up to its `yield` it provokes: a daemon with an unarmed trap
lives, and when the stage hands over it is on its way to fall. After the `yield` the
next daemon lives, and the stage holds it to what must be true.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.system import crash_agency, crash_chats
from tests.system.crash_lives import Lives
from tests.system.crash_points import Point
from tests.system.nasty import ATTACKS, NASTY
from tests.system.project import wait_for, whole_lines

Stage = Callable[[Lives, str, Point], Iterator[None]]

#: Kinds of agents beside those of `evidence`.
KINDS: Final = """
case $kind in
# the first dies
signal-once) first && die "$1"; leave 0 ;;
# the same, when it is told to
hold-die) first && { wait_word "$1"; die 9; }; leave 0 ;;
# leaves with 5 when nobody has heard that it is done
verdict)
    if wg done --summary finished; then wait_word "$1"; fi
    leave 5 ;;
# has a child in a session of its own, and both heed no TERM
tree)
    first || leave 0
    trap '' TERM
    setsid sh -c 'trap "" TERM; sleep 600' </dev/null >/dev/null 2>&1 &
    wait_word "$1"; leave 0 ;;
@CHATS@
@ATTACKS@
esac
""".replace("@CHATS@", crash_chats.KINDS).replace(
    "@ATTACKS@",
    "\n".join(
        f"# the first attacks its own record\n"
        f"attack-{word}) first || leave 0; {NASTY[kind].does} ;;"
        for word, kind in ATTACKS.items()
    ),
)


def run_stages(lives: Lives, points: Sequence[Point], round_: int = 0) -> None:
    """Kills a daemon at each point in turn; each next one settles what was left."""
    name = ""
    pending: Iterator[None] = iter(())
    for point in (*points, None):
        try:
            nth = point.nth + round_ % point.times if point else 1
            lives.start(point.name if point else "-", nth)
            assert next(pending, "over") == "over", "a stage hands over once"
            if point is None:
                break
            name = f"{point.name}-{round_}"
            pending = STAGES[point.stage](lives, name, point)
            next(pending)
            if lives.pid is not None:
                lives.wait_fall(point.name)
        except AssertionError as error:
            raise AssertionError(f"killed at {name}: {error}") from error
    lives.check()
    lives.wait_alone()
    assert lives.end() == 0


def _add(lives: Lives, task: str, point: Point) -> Iterator[None]:
    command = lives.evidence.agent("exit", 0)
    words = ("add", task, "--id", task, "--exec", command)
    lives.arm()
    done = lives.project.run(*words)
    assert done.returncode == 1, done
    assert "ended before it answered" in done.stderr
    yield
    is_there = point.when == "after" or point.name == "reply-before-sent"
    assert lives.project.run("show", task).returncode == (0 if is_there else 3)
    again = lives.project.run(*words)
    assert again.returncode == (4 if is_there else 0), again
    _expect_done_once(lives, task)


def _add_line(lives: Lives, task: str, point: Point) -> Iterator[None]:
    del point
    lives.arm()
    exec_ = lives.evidence.agent("exit", 0)
    try:
        lives.read("add_task", title=task, id=task, exec=exec_)
    except (EOFError, ConnectionError):
        pass
    else:
        raise AssertionError("it was answered")
    yield
    _expect_done_once(lives, task)


def _import(lives: Lives, task: str, point: Point) -> Iterator[None]:
    names = [f"{task}-{n}" for n in range(30)]
    graph: list[Mapping[str, object]] = [
        {"id": name, "exec": "true", "after": names[:n][-2:], "paused": True}
        for n, name in enumerate(names)
    ]
    lives.arm()
    assert lives.import_tasks(*graph) == 1
    yield
    found = {one["id"] for one in lives.read("list")}
    there = found & set(names)
    assert there == (set(names) if point.when == "after" else set())
    assert lives.import_tasks(*graph) == (4 if there else 0)


def _verdict(lives: Lives, task: str, point: Point) -> Iterator[None]:
    lives.fifo(task)
    lives.arm()
    lives.import_tasks({"id": task, "exec": lives.evidence.agent("verdict", task)})
    yield
    heard = point.when == "after"
    found = lives.wait_task(task, "done" if heard else "failed")
    assert found["summary"] == ("finished" if heard else None)
    wait_for(lambda: lives.agents(task)[0]["status"] == "ended", "its agent's end")
    (agent,) = lives.agents(task)
    assert agent["outcome"] == ("done" if heard else "failed")
    assert len(lives.evidence.of_task(task)) == 1


def _spawn(lives: Lives, task: str, point: Point) -> Iterator[None]:
    lives.project.wg("service", "pause")
    lives.add(task, "exit", 0)
    lives.arm()
    assert lives.project.run("spawn", task).returncode == 1
    yield
    lives.wait_task(task, "open")
    assert lives.task(task)["attempts"] == 0
    outcomes = [agent["outcome"] for agent in lives.agents(task)]
    assert outcomes == (["spawn-failed"] if point.when == "after" else [])
    assert lives.read("status")["paused"], "a restart has undone the pause"
    lives.project.wg("service", "resume")
    _expect_done_once(lives, task)


def _export(lives: Lives, task: str, point: Point) -> Iterator[None]:
    return _written(lives, f"{task}.jsonl", "export")


def _backup(lives: Lives, task: str, point: Point) -> Iterator[None]:
    return _written(lives, f"{task}.db", "backup")


def _written(lives: Lives, name: str, word: str) -> Iterator[None]:
    folder = lives.project.folder
    before = {entry.name for entry in folder.iterdir()}
    lives.arm()
    assert lives.project.run(word, name).returncode == 1
    yield
    assert {entry.name for entry in folder.iterdir()} == before
    strange = [x.name for x in (folder / ".wg").iterdir() if "backup" in x.name]
    assert not strange, f"{strange} is left in .wg"
    lives.project.wg(word, name)
    assert (folder / name).stat().st_size > 0
    (folder / name).unlink()


def _work(lives: Lives, task: str, point: Point) -> Iterator[None]:
    del point
    agent = lives.evidence.agent
    lives.arm()
    lives.import_tasks(
        {"id": f"{task}-1", "exec": agent("exit", 0)},
        {"id": f"{task}-2", "exec": agent("exit", 7)},
        {"id": f"{task}-3", "exec": agent("signal-once", 9)},
        {"id": f"{task}-4", "exec": agent("exit", 0), "after": [f"{task}-1"]},
    )
    yield
    _expect_done_once(lives, f"{task}-1")
    _expect_done_once(lives, f"{task}-4")
    _expect_failed_with_7(lives, f"{task}-2")
    _expect_crashed_once(lives, f"{task}-3")


def _attack(lives: Lives, task: str, point: Point) -> Iterator[None]:
    """An agent ends before anybody lives who knows that it was started."""
    kind = point.name.removesuffix("-unrecorded")
    lives.arm()
    lives.import_tasks({"id": task, "exec": lives.evidence.agent(kind)})
    lives.wait_fall(point.name)
    lives.wait_said_end(task)
    lives.wait_alone()
    yield
    found = lives.wait_task(task, "done")
    told = [agent["outcome"] for agent in lives.agents(task)]
    if kind == "attack-removal":  # as before its start: see `evidence.compare`
        assert (told, found["attempts"]) == (["spawn-failed", "done"], 1)
    else:
        assert (told, found["attempts"]) == (["lost", "done"], 2)


def _leave_behind(lives: Lives, task: str, point: Point) -> Iterator[None]:
    del point
    lives.arm()
    lives.import_tasks(
        {"id": f"{task}-1", "exec": lives.evidence.agent("setsid", 0)},
        {
            "id": f"{task}-2",
            "exec": lives.evidence.agent("setsid", 0),
            "after": [f"{task}-1"],
        },
    )
    yield
    _expect_done_once(lives, f"{task}-1")
    _expect_done_once(lives, f"{task}-2")
    lives.wait_alone()


def _kill(lives: Lives, task: str, point: Point) -> Iterator[None]:
    yield from _killed(lives, task, point, "stubborn")


def _kill_tree(lives: Lives, task: str, point: Point) -> Iterator[None]:
    yield from _killed(lives, task, point, "tree")


def _killed(lives: Lives, task: str, point: Point, kind: str) -> Iterator[None]:
    lives.add(task, kind, lives.fifo(task))
    lives.wait_started(task)
    wait_for(lambda: lives.agents(task)[0]["status"] == "working", "a recorded start")
    agent = lives.agents(task)[0]["id"]
    lives.arm()
    assert lives.project.run("kill", agent).returncode == 1
    yield
    if point.name == "kill-before-commit":
        assert lives.task(task)["status"] == "in-progress"
        lives.project.wg("kill", agent)
    found = lives.wait_task(task, "open")
    assert (found["paused"], found["attempts"]) == (True, 0)
    assert [one["outcome"] for one in lives.agents(task)] == ["killed"]
    lives.wait_alone()
    lives.project.wg("resume", task)
    found = lives.wait_task(task, "done")
    assert found["attempts"] == 1
    assert len(lives.evidence.of_task(task)) == 2


def _gate(lives: Lives, task: str, point: Point) -> Iterator[None]:
    ran = lives.project.folder / f"{task}.ran"
    verify = f"echo began >>'{ran}'; sleep 0.05; echo ended >>'{ran}'"
    if point.name == "gate-running":
        fifo = lives.evidence.fifos / lives.fifo(task)
        verify = f"echo began >>'{ran}'; read x <'{fifo}'; echo ended >>'{ran}'"
    command = lives.evidence.agent("exit", 0)
    lives.arm()
    lives.import_tasks({"id": task, "exec": command, "verify": [verify]})
    if point.name == "gate-running":
        # the next daemon ends it: it is to have begun by then
        lives.wait_fall(point.name)
        wait_for(lambda: _said(ran, "began") == 1, "the gate to run")
    yield
    if point.name == "gate-running":
        wait_for(lambda: _said(ran, "began") == 2, "the gate to run again")
        lives.tell(task)
    _expect_done_once(lives, task)
    lives.wait_alone()
    assert _said(ran, "ended") == (2 if point.name == "gate-before-commit" else 1)


def _said(file: Path, word: str) -> int:
    return whole_lines(file).count(word)


def _loop(lives: Lives, task: str, point: Point) -> Iterator[None]:
    """A person's, because nothing that an agent has done is to be done again."""
    del point
    enough = lives.project.folder / f"{task}.enough"
    lives.import_tasks({"id": task, "actor": "a person"})
    lives.project.wg("loop", task, "--max", "3", "--until", f"test -e '{enough}'")
    lives.arm()
    lives.project.run("done", task)
    yield

    def stands() -> tuple[int, str | None]:
        loop = lives.task(task)["loop"]
        return loop["iteration"], loop["reason"]

    wait_for(lambda: stands() == (2, None), "the second iteration")
    assert lives.task(task)["status"] == "open"
    enough.touch()
    lives.project.wg("done", task)
    lives.wait_task(task, "done")
    assert stands() == (2, "condition met")


def _boot(lives: Lives, task: str, point: Point) -> Iterator[None]:
    agent = lives.evidence.agent
    names = [lives.fifo(f"{task}-{n}") for n in range(1, 4)]
    kinds = ("hold", "hold", "hold-die")
    lives.import_tasks(
        *({"id": n, "exec": agent(k, n)} for n, k in zip(names, kinds, strict=True))
    )
    for name in names:
        lives.wait_started(name)
    lives.kill()
    lives.tell(names[1], 7)
    lives.tell(names[2])
    lives.wait_said_end(*names[1:])
    lives.arm()
    lives.start(point.name, wait=False)
    yield
    assert len(lives.evidence.of_task(names[0])) == 1
    lives.tell(names[0])
    _expect_done_once(lives, names[0])
    _expect_failed_with_7(lives, names[1])
    _expect_crashed_once(lives, names[2])


def _stop(lives: Lives, task: str, point: Point) -> Iterator[None]:
    del point
    lives.add(task, "hold", lives.fifo(task))
    lives.wait_started(task)
    lives.arm()
    lives.send(15)
    yield
    lives.tell(task)
    _expect_done_once(lives, task)


def _stop_agents(lives: Lives, task: str, point: Point) -> Iterator[None]:
    del point
    lives.add(task, "stubborn", lives.fifo(task))
    lives.wait_started(task)
    lives.arm()
    assert lives.project.run("service", "stop", "--kill-agents").returncode == 1
    yield
    found = lives.wait_task(task, "done")
    assert found["attempts"] == 1
    assert [one["outcome"] for one in lives.agents(task)] == ["killed", "done"]


def _migrate(lives: Lives, task: str, point: Point) -> Iterator[None]:
    assert lives.end() == 0
    wg_dir = lives.project.folder / ".wg"
    kept = wg_dir.parent / "kept.db"
    (wg_dir / "graph.db").rename(kept)
    (wg_dir / "graph.db").touch()
    lives.arm()
    lives.start(point.name, wait=False)
    yield
    assert lives.read("list") == []
    lives.project.wg("add", task, "--paused")
    assert lives.end() == 0
    kept.rename(wg_dir / "graph.db")
    lives.start()


def _offline_add(lives: Lives, task: str, point: Point) -> Iterator[None]:
    assert lives.end() == 0
    command = lives.evidence.agent("exit", 0)
    words = ("add", task, "--id", task, "--exec", command)
    lives.arm()
    alone = lives.start_program("wg", *words, point=point.name)
    lives.wait_fall(point.name, alone)
    yield
    is_there = point.when == "after"
    assert lives.project.run("show", task).returncode == (0 if is_there else 3)
    if not is_there:
        lives.project.wg(*words)
    _expect_done_once(lives, task)


def _offline_tick(lives: Lives, task: str, point: Point) -> Iterator[None]:
    assert lives.end() == 0
    lives.add(task, "exit", 0)
    lives.arm()
    alone = lives.start_program("wg", "service", "tick", point=point.name)
    lives.wait_fall(point.name, alone)
    yield
    _expect_done_once(lives, task)


def _expect_done_once(lives: Lives, task: str) -> None:
    found = lives.wait_task(task, "done")
    assert found["attempts"] == 1, found
    said = lives.evidence.of_task(task)
    assert len(said) == 1, f"{task} was started {len(said)} times: {said}"
    ran = [a for a in lives.agents(task) if a["outcome"] != "spawn-failed"]
    assert [(a["exit_code"], a["outcome"]) for a in ran] == [(0, "done")], ran


def _expect_failed_with_7(lives: Lives, task: str) -> None:
    found = lives.wait_task(task, "failed")
    assert (found["attempts"], found["failure"]["class"]) == (1, "failed"), found
    ran = [a for a in lives.agents(task) if a["outcome"] != "spawn-failed"]
    assert [(a["exit_code"], a["signal"]) for a in ran] == [(7, None)], ran
    assert len(lives.evidence.of_task(task)) == 1


def _expect_crashed_once(lives: Lives, task: str) -> None:
    found = lives.wait_task(task, "done")
    assert found["attempts"] == 2, found
    ran = [a for a in lives.agents(task) if a["outcome"] != "spawn-failed"]
    told = [(a["exit_code"], a["signal"], a["outcome"]) for a in ran]
    assert told == [(None, 9, "crashed"), (0, None, "done")], ran
    assert len(lives.evidence.of_task(task)) == 2


STAGES: Final[Mapping[str, Stage]] = MappingProxyType(
    {
        "add": _add,
        "add-line": _add_line,
        "import": _import,
        "verdict": _verdict,
        "spawn": _spawn,
        "export": _export,
        "backup": _backup,
        "work": _work,
        "attack": _attack,
        "leave-behind": _leave_behind,
        "kill": _kill,
        "kill-tree": _kill_tree,
        "gate": _gate,
        "loop": _loop,
        "assign": crash_agency.assign,
        "checks": crash_agency.checks,
        "ask": crash_agency.ask,
        "judge": crash_agency.judge,
        "chat-send": crash_chats.send,
        "chat": crash_chats.talk,
        "chat-crash": crash_chats.crash,
        "chat-archive": crash_chats.archive,
        "chat-purge": crash_chats.purge,
        "boot": _boot,
        "stop": _stop,
        "stop-agents": _stop_agents,
        "migrate": _migrate,
        "offline-add": _offline_add,
        "offline-tick": _offline_tick,
    }
)

"""What the engine relies on, of the real launcher and of its fake alike."""

import os
import signal
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from msgspec import structs

from tests.fakes import FakeLauncher
from workgraph.agents.process import (
    Adopted,
    Ended,
    Fate,
    Launcher,
    LaunchOrder,
    RealLauncher,
    SpawnError,
    SweepTarget,
)
from workgraph.agents.setup import install_child_watcher
from workgraph.graph.errors import WorkgraphBug
from workgraph.graph.model import ProcessId


class _RealWorld:
    def __init__(self, folder: Path) -> None:
        install_child_watcher()
        self.folder = folder
        self.launcher: Launcher = RealLauncher()
        self.dead: list[Launcher] = []

    def order(self, agent: int, *, stubborn: bool = False) -> LaunchOrder:
        fifo = self.folder / f"fifo-{agent}"
        os.mkfifo(fifo)
        trap = "trap '' TERM;" if stubborn else ""
        script = f'{trap} echo >"$1"; read -r x <"$1"; eval "$x"'
        return LaunchOrder(
            agent=agent,
            folder=f"{self.folder}/.wg/agents/agent-{agent}",
            argv=("/bin/sh", "-c", script, "sh", str(fifo)),
            env={
                "PATH": "/usr/bin:/bin",
                "WG_AGENT_ID": f"agent-{agent}",
                "WG_DIR": f"{self.folder}/.wg",
            },
            cwd=str(self.folder),
        )

    async def ready(self, agent: int) -> None:
        fifo = self.folder / f"fifo-{agent}"
        await anyio.to_thread.run_sync(fifo.read_text)

    async def end(self, agent: int, how: int) -> None:
        fifo = self.folder / f"fifo-{agent}"
        text = f"exit {how}\n" if how >= 0 else f"kill {how} $$\n"
        await anyio.to_thread.run_sync(fifo.write_text, text)

    def break_next(self, order: LaunchOrder) -> LaunchOrder:
        return structs.replace(order, cwd=f"{self.folder}/missing")

    def restart(self) -> None:
        self.dead.append(self.launcher)
        self.launcher = RealLauncher()


class _FakeWorld:
    def __init__(self) -> None:
        self.fake = FakeLauncher()
        self.launcher: Launcher = self.fake

    def order(self, agent: int, *, stubborn: bool = False) -> LaunchOrder:
        if stubborn:
            self.fake.stubborn.add(agent)
        return LaunchOrder(
            agent=agent,
            folder=f"/.wg/agents/agent-{agent}",
            argv=("/bin/true",),
            env={},
            cwd="/",
        )

    async def ready(self, agent: int) -> None:
        assert agent in self.fake.running()

    async def end(self, agent: int, how: int) -> None:
        if how >= 0:
            self.fake.exit(agent, code=how)
        else:
            self.fake.exit(agent, signal=-how)

    def break_next(self, order: LaunchOrder) -> LaunchOrder:
        self.fake.fail_next("no")
        return order

    def restart(self) -> None:
        self.fake.crash()


_World = _RealWorld | _FakeWorld


@pytest.fixture(params=["real", "fake"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two."""
    value: str = request.param
    return value


def _make_world(kind: str, folder: Path) -> _World:
    return _RealWorld(folder) if kind == "real" else _FakeWorld()


async def _started(world: _World, agent: int = 1, *, stubborn: bool = False) -> object:
    order = world.order(agent, stubborn=stubborn)
    assert await world.launcher.prepare([order]) == {}
    answer = await world.launcher.launch(order)
    await world.ready(agent)
    return answer


async def _stop(world: _World, *, grace_s: float, force: bool) -> tuple[ProcessId, ...]:
    folder = (
        f"{world.folder}/.wg/agents/agent-1" if isinstance(world, _RealWorld) else ""
    )
    return await world.launcher.stop(1, folder, None, grace_s, force)


async def _settle(world: _World, agent: int = 1) -> Adopted | Ended:
    root = world.folder if isinstance(world, _RealWorld) else Path("/")
    folder = f"{root}/.wg/agents/agent-{agent}"
    return await world.launcher.settle(agent, folder, None, None)


@pytest.mark.parametrize("code", [0, 7])
async def test_an_exit_code_is_told(kind: str, tmp_path: Path, code: int) -> None:
    """What an agent exits with is what is waited for."""
    world = _make_world(kind, tmp_path)
    await _started(world)

    await world.end(1, code)

    ended = await world.launcher.wait_ended(1)
    assert ended == Ended(agent=1, fate=Fate.EXITED, exit_code=code)


async def test_a_signal_is_told(kind: str, tmp_path: Path) -> None:
    """A signal is not an exit code of 137."""
    world = _make_world(kind, tmp_path)
    await _started(world)

    await world.end(1, -signal.SIGKILL)

    ended = await world.launcher.wait_ended(1)
    assert ended == Ended(agent=1, fate=Fate.SIGNALED, signal=9)


async def test_a_failed_start_is_an_error_and_leaves_nothing(
    kind: str, tmp_path: Path
) -> None:
    """What could not be started was never started."""
    world = _make_world(kind, tmp_path)
    order = world.break_next(world.order(1))
    await world.launcher.prepare([order])

    with pytest.raises(SpawnError) as caught:
        await world.launcher.launch(order)

    assert caught.value.code == "spawn-failed"
    assert "\n" not in caught.value.message
    assert await _settle(world) == Ended(agent=1, fate=Fate.NEVER_STARTED)


async def test_an_unprepared_agent_is_not_started(kind: str, tmp_path: Path) -> None:
    """Without its folder there is no start."""
    world = _make_world(kind, tmp_path)

    with pytest.raises(SpawnError, match="No such file"):
        await world.launcher.launch(world.order(1))


async def test_prepared_only_is_never_started(kind: str, tmp_path: Path) -> None:
    """A crash between the folder and the start."""
    world = _make_world(kind, tmp_path)
    await world.launcher.prepare([world.order(1)])

    world.restart()

    assert await _settle(world) == Ended(agent=1, fate=Fate.NEVER_STARTED)


async def test_what_runs_is_adopted_and_its_end_known(
    kind: str, tmp_path: Path
) -> None:
    """A crash while it runs, before its start was recorded."""
    world = _make_world(kind, tmp_path)
    await _started(world)
    world.restart()

    found = await _settle(world)
    await world.end(1, 7)

    assert isinstance(found, Adopted)
    ended = await world.launcher.wait_ended(1)
    assert (ended.fate, ended.exit_code) == (Fate.EXITED, 7)


async def test_a_folder_is_used_once(kind: str, tmp_path: Path) -> None:
    """An earlier record can't be taken for a later agent's."""
    world = _make_world(kind, tmp_path)
    order = world.order(1)
    await world.launcher.prepare([order])
    await world.launcher.launch(order)
    await world.ready(1)
    await world.end(1, 0)
    await world.launcher.wait_ended(1)

    errors = await world.launcher.prepare([order])

    assert "an agent ran there already" in errors[1]


async def test_stop_ends_by_term(kind: str, tmp_path: Path) -> None:
    """An agent that heeds TERM is ended by it."""
    world = _make_world(kind, tmp_path)
    await _started(world)

    left = await _stop(world, grace_s=60, force=False)

    assert left == ()
    ended = await world.launcher.wait_ended(1)
    assert (ended.fate, ended.signal) == (Fate.SIGNALED, 15)


@pytest.mark.parametrize(("grace_s", "force"), [(0.05, False), (10, True)])
async def test_stop_ends_by_kill(
    kind: str, tmp_path: Path, grace_s: float, force: bool
) -> None:
    """After the grace, or at once."""
    world = _make_world(kind, tmp_path)
    await _started(world, stubborn=True)

    left = await _stop(world, grace_s=grace_s, force=force)

    assert left == ()
    ended = await world.launcher.wait_ended(1)
    assert (ended.fate, ended.signal) == (Fate.SIGNALED, 9)


async def test_a_cancelled_wait_leaves_the_agent_alone(
    kind: str, tmp_path: Path
) -> None:
    """Only the wait ends; it may be taken up again."""
    world = _make_world(kind, tmp_path)
    await _started(world)

    async with anyio.create_task_group() as group:
        group.start_soon(world.launcher.wait_ended, 1)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    await world.end(1, 0)

    assert (await world.launcher.wait_ended(1)).exit_code == 0


async def test_frozen_and_thawed_while_it_runs(kind: str, tmp_path: Path) -> None:
    """Nothing that has ended can be frozen."""
    world = _make_world(kind, tmp_path)
    await _started(world)

    assert await world.launcher.freeze([1, 2]) == (1,)
    assert await world.launcher.thaw([1, 2]) == (1,)
    await world.end(1, 0)
    await world.launcher.wait_ended(1)

    assert await world.launcher.freeze([1]) == ()
    assert await world.launcher.thaw([1]) == ()


async def test_nothing_is_left_of_a_clean_end(kind: str, tmp_path: Path) -> None:
    """A sweep names only agents that it could not end."""
    world = _make_world(kind, tmp_path)
    await _started(world)
    await world.end(1, 0)
    await world.launcher.wait_ended(1)

    left = await world.launcher.sweep(
        [SweepTarget(agent=1, folder=world.order(2).folder)]
    )

    assert left == {}


async def test_nothing_starts_after_close(kind: str, tmp_path: Path) -> None:
    """A start after the end is a bug of ours."""
    world = _make_world(kind, tmp_path)
    order = world.order(1)
    await world.launcher.prepare([order])

    await world.launcher.close()

    with pytest.raises(WorkgraphBug):
        await world.launcher.launch(order)


async def test_what_keeps_its_input_reads_what_is_written(
    kind: str, tmp_path: Path
) -> None:
    """Until it has ended; who keeps none can't be written to."""
    world = _make_world(kind, tmp_path)
    launcher = world.launcher
    order = structs.replace(world.order(1), keeps_input=True)
    assert await launcher.prepare([order]) == {}
    await launcher.launch(order)
    await world.ready(1)
    assert launcher.has_input(1)
    assert await launcher.write_input(1, b"hello\n")
    assert not await launcher.write_input(2, b"hello\n")

    await world.end(1, 0)
    ended = await launcher.wait_ended(1)

    assert ended.exit_code == 0
    assert not launcher.has_input(1)
    assert not await launcher.write_input(1, b"more\n")


@pytest.mark.parametrize("reads", [False, True])
async def test_what_is_left_in_its_pipe_was_not_read(
    kind: str, tmp_path: Path, reads: bool
) -> None:
    """So its end is not the doing of what it was given."""
    world = _make_world(kind, tmp_path)
    order = structs.replace(world.order(1), keeps_input=True)
    if isinstance(world, _FakeWorld):
        world.fake.deaf |= set() if reads else {1}
    elif reads:
        program, flag, script, *rest = order.argv
        order = structs.replace(
            order, argv=(program, flag, f"read -r line; {script}", *rest)
        )
    assert await world.launcher.prepare([order]) == {}
    await world.launcher.launch(order)

    assert await world.launcher.write_input(1, b"hello\n")
    await world.ready(1)
    await world.end(1, 1)
    ended = await world.launcher.wait_ended(1)

    assert ended.unread is not reads


@pytest.mark.parametrize("leaves", [False, True])
async def test_what_reads_to_the_end_of_its_input_may_leave_by_itself(
    kind: str, tmp_path: Path, leaves: bool
) -> None:
    """It is ended by TERM only where it does not; either way nothing is written."""
    world = _make_world(kind, tmp_path)
    signals = []
    # it has a moment to leave in; one of several has it on a machine that is busy
    for agent in range(1, 5 if leaves else 2):
        order = structs.replace(world.order(agent), keeps_input=True)
        if isinstance(world, _FakeWorld):
            world.fake.polite |= {agent} if leaves else set()
        elif leaves:
            program, flag, _, *rest = order.argv
            script = 'echo >"$1"; cat; exit 0'
            order = structs.replace(order, argv=(program, flag, script, *rest))
        assert await world.launcher.prepare([order]) == {}
        process = (await world.launcher.launch(order)).process
        await world.ready(agent)

        left = await world.launcher.stop(agent, order.folder, process, 20.0, False)
        assert left == ()

        signals.append((await world.launcher.wait_ended(agent)).signal)
        assert not world.launcher.has_input(agent)
        assert not await world.launcher.write_input(agent, b"hello\n")
        if signals[-1] is None:
            break
    assert (signals[-1] is None) is leaves, signals


async def test_an_adopted_agent_has_no_input(kind: str, tmp_path: Path) -> None:
    """It ended with the daemon that held it."""
    world = _make_world(kind, tmp_path)
    order = structs.replace(world.order(1), keeps_input=True)
    assert await world.launcher.prepare([order]) == {}
    await world.launcher.launch(order)
    await world.ready(1)

    world.restart()
    await _settle(world)

    assert not world.launcher.has_input(1)
    await world.end(1, 0)
    await world.launcher.wait_ended(1)

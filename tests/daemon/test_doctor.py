import hashlib
import os
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from workgraph.daemon.doctor import CheckData, examine, render_doctor
from workgraph.daemon.lock import ProjectLock
from workgraph.daemon.programs import ask_version
from workgraph.daemon.project import init_project
from workgraph.graph.holds import Account, AccountState
from workgraph.graph.model import TaskSpec
from workgraph.graph.replies import Reply
from workgraph.store import accounts, artifacts, reads, writes
from workgraph.store.database import SCHEMA_VERSION, Store, Tx

NOW = 1_700_000_000_000_000
BIN = Path(sys.executable).parent


class World:
    """A project, and a folder of programs that is all of PATH."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.folder = folder / "project"
        self.folder.mkdir()
        self.wg_dir = self.folder / ".wg"
        git = shutil.which("git")
        assert git is not None
        (self.programs / "git").symlink_to(git)
        self.env = {"PATH": str(self.programs), "HOME": str(folder)}

    def install(self, name: str, script: str) -> Path:
        """Puts a program into PATH."""
        file = self.programs / name
        file.write_text(script)
        file.chmod(0o755)
        return file

    def configure(self, text: str) -> None:
        """Writes the project's settings."""
        (self.wg_dir / "config.toml").write_text(text)

    async def findings(self) -> dict[str, CheckData]:
        """What the doctor says, by name."""
        reply = await examine(self.wg_dir, self.env, NOW)
        found = {check.name: check for check in reply.data}
        assert reply.exit_code == (0 if all(c.ok for c in reply.data) else 1)
        return found


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """A project as `wg init` leaves it."""
    world = World(tmp_path)
    await init_project(world.folder, agents_md=False, env=world.env, now=NOW)
    return world


def not_ok(findings: dict[str, CheckData]) -> set[str]:
    """The names of what is wrong."""
    return {name for name, check in findings.items() if not check.ok}


async def test_a_new_project_is_sound(world: World) -> None:
    """Nothing is wrong where nothing but optional clients is missing."""
    findings = await world.findings()

    assert not_ok(findings) == set()
    assert list(findings) == [
        "python",
        "sqlite",
        "wg",
        "git",
        "project",
        "permissions",
        "socket folder",
        "file system",
        "database",
        "settings",
        "link to wg",
        "leftovers",
        "artifacts",
        "sandbox",
        "cgroups",
        "daemon",
        *(f"executor {name}" for name in ("claude", "codex", "gemini", "opencode")),
        "executor native",
    ]
    assert findings["executor claude"].detail == "not found"
    assert findings["daemon"].detail == "not running"
    assert findings["database"].detail == f"sound, schema version {SCHEMA_VERSION}"


async def test_it_works_without_a_project(tmp_path: Path) -> None:
    """Outside of a project the installation alone is looked at."""
    reply = await examine(None, World(tmp_path).env, NOW)

    names = [check.name for check in reply.data]
    assert reply.exit_code == 0
    assert names[:5] == ["python", "sqlite", "wg", "git", "project"]
    assert "database" not in names


async def test_it_changes_nothing(world: World) -> None:
    """Every file and folder is the same afterwards, times included."""

    def snapshot() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.lstat().st_mtime_ns, path.lstat().st_size)
            for path in (world.wg_dir, *world.wg_dir.rglob("*"))
        }

    before = snapshot()

    await world.findings()

    assert snapshot() == before


async def test_it_reads_beside_one_that_writes(world: World) -> None:
    """An open database is examined as it is at the moment."""
    store = await Store.open(world.wg_dir / "graph.db")

    findings = await world.findings()

    await store.close()
    assert findings["database"].ok


async def test_the_module_of_the_native_agent_is_looked_for(world: World) -> None:
    """It is here, since the tests need it."""
    findings = await world.findings()

    native = findings["executor native"]
    assert (native.ok, native.detail) == (True, "pydantic_ai is installed")


async def test_a_client_is_found_with_its_version(world: World) -> None:
    """The first line of `--version` is shown with the path."""
    file = world.install("claude", '#!/bin/sh\necho 2.1.0 "$1"\necho more\n')

    findings = await world.findings()

    assert findings["executor claude"] == CheckData(
        name="executor claude", ok=True, detail=f"2.1.0 --version ({file})"
    )


def test_a_client_that_hangs_is_given_up(tmp_path: Path) -> None:
    """It is killed with all of its group; what holds its output holds up nobody."""
    world = World(tmp_path)
    world.install("codex", "#!/bin/sh\n/bin/sleep 60 & wait\n")

    program = ask_version("codex", world.env, timeout_s=0.05)

    assert program.problem == "did not answer --version within 0.05 s"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("#!/bin/sh\nexit 3\n", "--version ended with 3"),
        ("#!/gone/node\n", "can't be run: No such file or directory"),
    ],
)
async def test_a_broken_client_is_a_failure_only_where_it_is_wanted(
    world: World, script: str, problem: str
) -> None:
    """A client that nobody asks for may be broken; the settings' own may not."""
    file = world.install("gemini", script)
    as_a_note = await world.findings()
    world.configure('[dispatcher]\nexecutor = "gemini"\n')

    as_a_failure = await world.findings()

    assert as_a_note["executor gemini"].detail == f"{file} {problem}"
    assert not_ok(as_a_note) == set()
    assert not_ok(as_a_failure) == {"executor gemini"}


async def test_an_executor_as_data_is_looked_for_and_not_called(world: World) -> None:
    """A program of the user's may do anything when it is called."""
    trace = world.folder / "called"
    file = world.install("mine", f"#!/bin/sh\necho x >{trace}\n")
    world.configure('[executors.mine]\nargv = ["mine"]\n')

    findings = await world.findings()

    assert findings["executor mine"].detail == f"({file})"
    assert not trace.exists()


async def test_an_executor_that_is_not_there_is_a_failure(world: World) -> None:
    """The settings name an executor that nothing defines."""
    world.configure('[dispatcher]\nexecutor = "cluade"\n')

    findings = await world.findings()

    assert not_ok(findings) == {"executor cluade"}
    assert findings["executor cluade"].remedy


async def test_git_is_needed_in_a_repository_only(world: World) -> None:
    """Without git a project that is no repository lacks nothing."""
    (world.programs / "git").unlink()
    without = await world.findings()
    (world.folder / ".git").mkdir()
    (world.folder / ".git/HEAD").write_text("ref: refs/heads/main\n")

    within = await world.findings()

    assert without["git"].ok
    assert not_ok(within) == {"git"}


async def test_a_folder_open_to_others_is_a_failure(world: World) -> None:
    """`.wg` is its owner's alone, the socket in it too; the remedy says the command."""
    world.wg_dir.chmod(0o755)

    findings = await world.findings()

    assert not_ok(findings) == {"permissions", "socket folder"}
    assert findings["permissions"].remedy == f"chmod 700 {world.wg_dir}"


async def test_a_damaged_database_is_a_failure(world: World) -> None:
    """What SQLite finds is shown, and that a backup helps."""
    file = world.wg_dir / "graph.db"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (size - 4096))

    findings = await world.findings()

    assert not_ok(findings) == {"database"}
    assert "wg backup" in findings["database"].remedy


async def test_a_file_that_is_no_database_is_a_failure(world: World) -> None:
    """So is one that is not there."""
    file = world.wg_dir / "graph.db"
    file.write_text("not a database at all, only some words" * 100)
    broken = await world.findings()
    file.unlink()

    gone = await world.findings()

    assert "file is not a database" in broken["database"].detail
    assert gone["database"].detail == f"no {file}"
    assert not_ok(broken) == not_ok(gone) == {"database"}


async def test_a_database_of_a_newer_version_is_a_failure(world: World) -> None:
    """The remedy is the newer workgraph, not a backup."""
    store = await Store.open(world.wg_dir / "graph.db")

    def bump(tx: Tx) -> None:
        tx.run(f"pragma user_version = {SCHEMA_VERSION + 1}")

    await store.transaction(bump, NOW)
    await store.close()

    findings = await world.findings()

    assert not_ok(findings) == {"database"}
    assert "newer" in findings["database"].remedy


async def test_a_clock_that_was_set_back_is_a_failure(world: World) -> None:
    """Limits and backoffs count from moments in the database."""
    store = await Store.open(world.wg_dir / "graph.db")
    await store.transaction(lambda tx: tx.emit("log"), NOW + 3_600_000_000)
    await store.close()

    findings = await world.findings()

    assert not_ok(findings) == {"clock"}


async def test_broken_settings_are_a_failure(world: World) -> None:
    """The message is the one that a start would give."""
    world.configure("[dispatcher]\nmax_agent = 1\n")

    findings = await world.findings()

    assert not_ok(findings) == {"settings"}
    assert findings["settings"].detail == (
        f"{world.wg_dir}/config.toml:2: there is no setting dispatcher.max_agent"
    )


async def test_a_dead_link_to_wg_is_a_failure(world: World) -> None:
    """Agents call the `wg` that comes first in their PATH."""
    link = world.wg_dir / "bin/wg"
    link.unlink()
    link.symlink_to("/gone/wg")
    dead = await world.findings()
    link.unlink()
    link.symlink_to(BIN / "wg")
    (world.wg_dir / "bin/ls").write_text("")

    crowded = await world.findings()

    assert not_ok(dead) == not_ok(crowded) == {"link to wg"}
    assert "more than wg" in crowded["link to wg"].detail


async def test_another_wg_in_path_is_pointed_out(world: World) -> None:
    """WireGuard's tool before ours is worth knowing, and no failure."""
    other = world.install("wg", "#!/bin/sh\n")

    findings = await world.findings()

    assert findings["wg"].ok
    assert f"in PATH {other} goes first" in findings["wg"].detail


async def test_folders_without_rows_are_leftovers(world: World) -> None:
    """What the database doesn't know is named, and so is an init that was killed."""
    (world.wg_dir / "agents/agent-7").mkdir()
    (world.wg_dir / "agents/stray").mkdir()
    unknown = await world.findings()
    shutil.rmtree(world.wg_dir / "agents")
    (world.folder / ".wg.init-abc").mkdir()

    unfinished = await world.findings()

    assert not_ok(unknown) == not_ok(unfinished) == {"leftovers"}
    assert unknown["leftovers"].detail.endswith(": agent-7, stray")
    assert unfinished["leftovers"].detail == "unfinished: .wg.init-abc"


async def test_a_login_that_was_refused_is_named(world: World) -> None:
    """With what to do; a limit passes by itself and is no illness."""
    refused = Account(key="claude", state=AccountState.BROKEN, reason="not logged in")
    limited = Account(key="codex", state=AccountState.LIMITED, reason="no more")

    def put(tx: Tx) -> None:
        accounts.put(tx, refused)
        accounts.put(tx, limited)

    store = await Store.open(str(world.wg_dir / "graph.db"))
    await store.transaction(put, NOW)
    await store.close()

    findings = await world.findings()

    assert not_ok(findings) == {"account claude"}
    assert findings["account claude"].detail.endswith("the login: not logged in")
    assert "wg service reload" in findings["account claude"].remedy


async def record_copy(world: World, name: str, content: bytes) -> Path:
    """An artifact of a task `t` with its copy."""
    copies = world.wg_dir / "artifacts"
    copies.mkdir(exist_ok=True)
    sha256 = hashlib.sha256(content).hexdigest()
    (copies / sha256).write_bytes(content)
    kept = artifacts.KeptArtifact(
        name=name, path="/x", sha256=sha256, size=1, agent=None, kept=True
    )

    def put(tx: Tx) -> None:
        if not reads.is_taken(tx, "t"):
            task = writes.NewTask(id="t", spec=TaskSpec(title="t"), priority=2)
            writes.insert_task(tx, task, "me")
        artifacts.record(tx, "t", kept)

    store = await Store.open(str(world.wg_dir / "graph.db"))
    await store.transaction(put, NOW)
    await store.close()
    return copies / sha256


async def test_copies_that_nothing_refers_to_are_named(world: World) -> None:
    """A version that was produced again leaves one behind: that is no failure."""
    await record_copy(world, "x", b"1")
    (world.wg_dir / "artifacts" / "stray").touch()

    findings = await world.findings()

    assert not_ok(findings) == set()
    assert findings["artifacts"].detail == "1 copies; nothing refers to: stray"


async def test_a_copy_that_is_not_what_was_recorded_is_a_failure(world: World) -> None:
    """Changed, or gone."""
    copy = await record_copy(world, "x", b"1")
    copy.write_bytes(b"2")
    changed = await world.findings()
    copy.unlink()

    gone = await world.findings()

    assert not_ok(changed) == not_ok(gone) == {"artifacts"}
    assert "not what was recorded" in changed["artifacts"].detail
    assert "recorded, and not in" in gone["artifacts"].detail
    assert copy.name[:12] in gone["artifacts"].detail


@asynccontextmanager
async def a_daemon(world: World, answer: bytes) -> AsyncGenerator[None]:
    """A process that holds the lock, with a socket that gives one answer."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    lock = ProjectLock(str(world.wg_dir))
    assert lock.try_acquire("wgd")
    listener = await anyio.create_unix_listener(world.wg_dir / "wgd.sock")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield
        group.cancel_scope.cancel()
    lock.release()


async def test_a_daemon_that_answers_is_named(world: World) -> None:
    """Pid and socket are shown."""
    async with a_daemon(world, b'{"ok":true,"data":{}}\n'):
        findings = await world.findings()

    assert findings["daemon"].ok
    assert findings["daemon"].detail == (
        f"wgd (pid {os.getpid()}) answers at {world.wg_dir}/wgd.sock"
    )


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b'{"ok":false}\n'])
async def test_a_daemon_that_does_not_answer_is_a_failure(
    world: World, answer: bytes
) -> None:
    """Whoever holds the lock and says nothing sensible is named with its pid."""
    async with a_daemon(world, answer):
        findings = await world.findings()

    assert not_ok(findings) == {"daemon"}
    assert f"kill {os.getpid()}" in findings["daemon"].remedy


async def test_wg_at_work_is_no_daemon(world: World) -> None:
    """The lock may be another command's."""
    lock = ProjectLock(str(world.wg_dir))
    assert lock.try_acquire("wg")

    findings = await world.findings()

    lock.release()
    assert findings["daemon"].ok
    assert "wg (pid" in findings["daemon"].detail


def test_what_people_read() -> None:
    """A line each, the remedy below, the count at the end; details are escaped."""
    reply = Reply(
        data=(
            CheckData(name="git", ok=True, detail="2.39"),
            CheckData(name="database", ok=False, detail="\x1b[2J", remedy="mend it"),
        ),
        exit_code=1,
    )

    assert render_doctor(reply, color=False) == (
        "ok    git       2.39\n"
        "FAIL  database  \\x1b[2J\n"
        "                → mend it\n"
        "1 of 2 are not ok\n"
    )
    assert "\x1b[31mFAIL\x1b[0m" in render_doctor(reply, color=True)

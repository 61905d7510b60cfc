"""Whose process it is: what a look has found, against this project's attempts."""

import os
from pathlib import Path

import pytest

from workgraph.agents import cgroups, kill, signs
from workgraph.agents.signs import LockedFolder, Named, Trail
from workgraph.commands.access import Origin
from workgraph.daemon.callers import Read, Wrappers, find_origin, refuse_agent
from workgraph.daemon.peer import Look
from workgraph.graph.errors import ForbiddenError
from workgraph.graph.model import ProcessId

BOOT = kill.read_boot_id()
#: A pid that no process has.
NOBODY = 2**22 - 1


def wrappers(*known: tuple[int, ProcessId]) -> Read[Wrappers]:
    """A graph in which these agents live."""

    async def read(_: object) -> Wrappers:
        return list(known)

    return read


def a_wrapper(pid: int, start_ticks: int, boot: str = BOOT) -> ProcessId:
    """A wrapper's identity."""
    return ProcessId(pid=pid, boot_id=boot, start_ticks=start_ticks)


async def origin_of(trail: Trail, *known: tuple[int, ProcessId], wg: str) -> Origin:
    """Whose it is, where nobody is the machinery."""
    return await find_origin(Look(trail=trail), wg, None, wrappers(*known))


@pytest.mark.parametrize(
    ("named", "agents"),
    [
        (Named(agent="agent-3", gate="", wg_dir="{project}/.wg"), {3}),
        (Named(agent="agent-3", gate="", wg_dir="{project}"), {3}),
        (Named(agent="agent-3", gate="", wg_dir="{project}/link/.wg"), {3}),
        (Named(agent="agent-3", gate="", wg_dir=""), {3}),
        (Named(agent="agent-3", gate="", wg_dir="/elsewhere/.wg"), set()),
        (Named(agent="robot", gate="", wg_dir="{project}/.wg"), set()),
    ],
)
async def test_an_environment_names_an_agent_of_this_project(
    tmp_path: Path, named: Named, agents: set[int]
) -> None:
    """Ids are the same in all projects; without one, this one is meant."""
    (tmp_path / ".wg").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    where = named.wg_dir.format(project=tmp_path)
    said = Named(agent=named.agent, gate=named.gate, wg_dir=where)

    found = await origin_of(Trail(named=(said,)), wg=str(tmp_path / ".wg"))

    assert found == Origin(agents=frozenset(agents))


async def test_a_locked_folder_is_told_by_device_and_inode(tmp_path: Path) -> None:
    """One that was removed by what it was called; another project's is not ours."""
    wg = tmp_path / ".wg"
    (wg / "agents" / "agent-1").mkdir(parents=True)
    stat = (wg / "agents" / "agent-1").stat()

    def a_lock(agent: int, path: str, inode: int = stat.st_ino) -> Trail:
        lock = LockedFolder(agent=agent, path=path, device=stat.st_dev, inode=inode)
        return Trail(locked=(lock,))

    moved = await origin_of(a_lock(1, "/elsewhere/agent-1"), wg=str(wg))
    gone = await origin_of(a_lock(2, f"{wg}/agents/agent-2 (deleted)"), wg=str(wg))
    other = await origin_of(a_lock(1, "/other/.wg/agents/agent-1", 1), wg=str(wg))

    assert [sorted(one.agents) for one in (moved, gone, other)] == [[1], [2], []]


@pytest.mark.parametrize(("where", "agents"), [("here", {3}), ("there", set())])
async def test_the_cgroup_names_an_agent_of_this_project(
    tmp_path: Path, where: str, agents: set[int]
) -> None:
    """It can't be shed: by it alone an agent is told that has shed all else."""
    wg = str(tmp_path / "here" / ".wg")
    name = cgroups.project_name(str(tmp_path / where / ".wg"))
    trail = Trail(cgroup=f"0::/a/{name}/agent-3/below\n".encode())

    origin = await origin_of(trail, wg=wg)

    assert origin.agents == agents


async def test_a_wrapper_that_is_an_ancestor_tells(tmp_path: Path) -> None:
    """By pid, start time and boot: a number that is used again is nobody's."""
    trail = Trail(processes=((NOBODY, 50), (400, 40)))
    known = (
        (1, a_wrapper(400, 40)),
        (2, a_wrapper(400, 39)),
        (3, a_wrapper(400, 40, "another boot")),
    )

    assert (await origin_of(trail, *known, wg=str(tmp_path))).agents == {1}


async def test_a_session_tells_while_its_leader_is_the_wrapper_or_gone(
    tmp_path: Path,
) -> None:
    """Its number is used again only when nobody is left in it."""
    own = signs.read_stat(os.getpid())
    assert own is not None
    trail = Trail(
        processes=((NOBODY - 1, 5),), sessions=frozenset({os.getpid(), NOBODY})
    )
    known = (
        (1, a_wrapper(os.getpid(), own.start_ticks)),
        (2, a_wrapper(os.getpid(), own.start_ticks - 1)),
        (3, a_wrapper(NOBODY, 7)),
    )

    assert (await origin_of(trail, *known, wg=str(tmp_path))).agents == {1, 3}


@pytest.mark.parametrize(
    ("trail", "is_machinery"),
    [
        (Trail(processes=((5, 1), (77, 1), (3, 1))), True),
        (Trail(processes=((77, 1), (3, 1))), False),
        (Trail(named=(Named(agent="", gate="verify", wg_dir="/p/.wg"),)), True),
        (Trail(named=(Named(agent="", gate="verify", wg_dir="/q/.wg"),)), False),
    ],
    ids=["child", "the daemon itself", "gate", "a gate elsewhere"],
)
async def test_what_the_daemon_runs_is_the_machinery(
    trail: Trail, is_machinery: bool
) -> None:
    """Its children, and what says that it is a gate."""
    found = await find_origin(Look(trail=trail), "/p/.wg", 77, wrappers())

    assert found == Origin(is_machinery=is_machinery)


@pytest.mark.parametrize("content", [None, b"", b"no database, but long enough" * 99])
async def test_what_can_not_be_read_names_nobody(
    tmp_path: Path, content: bytes | None
) -> None:
    """A crash may have come before the first table: whoever starts then makes it."""
    if content is not None:
        (tmp_path / "graph.db").write_bytes(content)

    await refuse_agent(tmp_path, {}, "to start the daemon")


async def test_a_token_is_refused_whatever_can_be_read(tmp_path: Path) -> None:
    """Nothing else has to be looked at."""
    with pytest.raises(ForbiddenError, match="to start the daemon"):
        await refuse_agent(tmp_path, {"WG_TOKEN": "x"}, "to start the daemon")


async def test_of_who_is_gone_nothing_is_known() -> None:
    """What was found may have been another's."""
    found = await find_origin(Look(is_gone=True), "/p/.wg", 77, wrappers())

    assert found == Origin(is_gone=True)

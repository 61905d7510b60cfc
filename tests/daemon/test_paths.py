"""Looking out for paths: whatever comes in between, and no more often than asked."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from workgraph.daemon.paths import PathWatch


class Found:
    """What was found, and a wait for more of it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._more = anyio.Event()

    def note(self, path: str) -> None:
        """Takes a path that is there."""
        self.paths.append(path)
        self._more.set()

    async def wait(self, count: int) -> list[str]:
        """All that was found, when it is so many."""
        with anyio.fail_after(30):
            while len(self.paths) < count:
                self._more = anyio.Event()
                await self._more.wait()
        return self.paths


@asynccontextmanager
async def a_watch(*wanted: Path) -> AsyncGenerator[tuple[PathWatch, Found]]:
    """A watch that looks out for these, and has looked for the first time."""
    found = Found()
    watch = PathWatch(found.note)
    async with anyio.create_task_group() as group:
        watch.want(frozenset(map(str, wanted)), group)
        await anyio.wait_all_tasks_blocked()
        yield watch, found
        group.cancel_scope.cancel()


async def test_what_is_there_is_found_at_once(tmp_path: Path) -> None:
    """Of any kind: a file, a folder, a link that leads nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    wanted = [tmp_path / name for name in ("file", "folder", "link")]

    async with a_watch(*wanted, tmp_path / "other") as (_, found):
        assert await found.wait(3) == [str(path) for path in wanted]


async def test_each_is_told_once(tmp_path: Path) -> None:
    """Until it is asked for again."""
    path = tmp_path / "a"
    path.touch()
    async with (
        a_watch(path, tmp_path / "b") as (watch, found),
        anyio.create_task_group() as group,
    ):
        await found.wait(1)
        watch.want(frozenset({str(path), str(tmp_path / "b")}), group)
        (tmp_path / "b").touch()
        await found.wait(2)
        assert found.paths == [str(path), str(tmp_path / "b")]

        watch.want(frozenset(), group)
        await anyio.wait_all_tasks_blocked()
        watch.want(frozenset({str(path)}), group)

        assert (await found.wait(3))[2:] == [str(path)]
        group.cancel_scope.cancel()


async def test_folders_on_the_way_come_and_go(tmp_path: Path) -> None:
    """Made later, moved away with what is in them, replaced by another one."""
    wanted = tmp_path / "a/b/c"
    async with a_watch(wanted) as (_, found):
        (tmp_path / "a/b").mkdir(parents=True)
        await anyio.wait_all_tasks_blocked()
        (tmp_path / "a").rename(tmp_path / "old")
        (tmp_path / "old/b/c").touch()
        await anyio.wait_all_tasks_blocked()
        assert found.paths == []

        (tmp_path / "new/b").mkdir(parents=True)
        (tmp_path / "new/b/c").touch()
        (tmp_path / "new").rename(tmp_path / "a")

        assert await found.wait(1) == [str(wanted)]


async def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    """Nothing is below it, and what comes after it is seen."""
    (tmp_path / "a").touch()
    wanted = tmp_path / "a/b"
    async with a_watch(wanted) as (_, found):
        (tmp_path / "a").unlink()
        wanted.mkdir(parents=True)

        assert await found.wait(1) == [str(wanted)]


async def test_others_in_the_same_folder_are_passed_over(tmp_path: Path) -> None:
    """A busy folder does not have it look again and again."""
    async with a_watch(tmp_path / "wanted") as (watch, found):
        changed = watch._changed  # noqa: SLF001 - whether it has looked again
        for n in range(200):
            (tmp_path / f"other-{n}").touch()
        await anyio.wait_all_tasks_blocked()
        assert watch._changed is changed  # noqa: SLF001 - as above
        assert not changed.is_set()

        (tmp_path / "wanted").touch()

        assert await found.wait(1) == [str(tmp_path / "wanted")]

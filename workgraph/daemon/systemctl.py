"""`systemctl --user`: asked and told, with its own words where it refuses."""

import os
from collections.abc import Mapping
from typing import Final

import anyio.to_thread

from workgraph.daemon.programs import Ran, find_program, run_program
from workgraph.graph.errors import UserError

#: A start may wait for the unit's TimeoutStartSec, a stop for its TimeoutStopSec.
_JOB_S: Final = 330.0
_ASK_S: Final = 10.0


class Systemctl:
    """The user's service manager, through its command.

    Args:
        path: Where the program is.
        env: Of this process; where the manager is found.
    """

    def __init__(self, path: str, env: Mapping[str, str]) -> None:
        self._path = path
        self._env = _with_runtime_dir(env)

    @classmethod
    def find(cls, env: Mapping[str, str]) -> "Systemctl | None":
        """The program, where systemd is installed."""
        path = find_program("systemctl", env)
        return None if path is None else cls(path, env)

    @property
    def runtime_dir(self) -> str | None:
        """The user's runtime folder, where units for this boot may be."""
        return self._env.get("XDG_RUNTIME_DIR")

    async def is_running(self) -> bool:
        """Whether the user's manager is there and answers."""
        ran = await self._run("show", "--property=Version", timeout_s=_ASK_S)
        return ran.status == 0

    async def tell(self, *words: str) -> None:
        """Has it do something; returns when it is done.

        Raises:
            UserError: It could not; the message is systemctl's.
        """
        ran = await self._run("--quiet", *words)
        if ran.status != 0:
            raise _refusal(words, ran)

    async def try_to(self, *words: str) -> bool:
        """As `tell`, for what may well be so already; whether it was done."""
        return (await self._run("--quiet", *words)).status == 0

    async def enable_offline(self, *units: str) -> None:
        """Enables units where no manager runs: they start with the next one.

        Raises:
            UserError: It could not.
        """
        await self._change_links("enable", *units)

    async def disable_offline(self, *units: str) -> None:
        """Takes back what enabling did.

        Raises:
            UserError: It could not.
        """
        await self._change_links("disable", *units)

    async def property_of(self, unit: str, name: str) -> str:
        """What the manager knows of a unit; empty where it knows nothing."""
        asked = ("show", "--value", f"--property={name}", unit)
        ran = await self._run(*asked, timeout_s=_ASK_S)
        return ran.said if ran.status == 0 else ""

    async def _change_links(self, *words: str) -> None:
        ran = await self._run("--quiet", *words, more={"SYSTEMD_OFFLINE": "1"})
        if ran.status != 0:
            raise _refusal(words, ran)

    async def _run(
        self,
        *words: str,
        timeout_s: float = _JOB_S,
        more: Mapping[str, str] | None = None,
    ) -> Ran:
        argv = (self._path, "--user", "--no-pager", "--no-ask-password", *words)
        env = self._env | dict(more or {})

        def run() -> Ran:
            try:
                return run_program(argv, env, timeout_s=timeout_s)
            except OSError as error:
                return Ran(status=127, said=f"{self._path}: {error.strerror}")

        return await anyio.to_thread.run_sync(run)


def _refusal(words: tuple[str, ...], ran: Ran) -> UserError:
    said = " ".join(ran.said.split()) or "it says nothing"
    if ran.status is None:
        said = "it does not come to an end"
    command = f"systemctl --user {words[0]}"
    return UserError(f"{command} failed: {said}", hint="systemctl --user status")


def _with_runtime_dir(env: Mapping[str, str]) -> dict[str, str]:
    """The environment in which systemctl finds the manager, under cron and su, too."""
    usual = f"/run/user/{os.geteuid()}"
    if env.get("XDG_RUNTIME_DIR") or not os.path.isdir(usual):
        return dict(env)
    return {**env, "XDG_RUNTIME_DIR": usual}

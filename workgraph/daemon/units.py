"""The systemd user units of one project: their names and texts. Pure.

Two files for each project and no template: what is in them (the interpreter, the path,
the socket's place) is the project's own, and one project's `install` must not change
what another's daemon is. They are named as instances are, `wgd@` and the escaped path,
so that `systemctl --user list-units 'wgd@*'` shows all of them.
"""

import hashlib
import string
from collections.abc import Iterable, Mapping
from typing import Final

from workgraph.graph.errors import UserError
from workgraph.graph.model import Record

MARK: Final = "# Written by `wg service install`; changes belong into a drop-in:"
WATCHDOG_S: Final = 30
#: A unit's name has at most 255 bytes, and so has the name of its drop-in folder.
_LONGEST_NAME: Final = 255 - len(".service.d")
_PLAIN: Final = frozenset(f"{string.ascii_letters}{string.digits}:_.".encode())

_SERVICE: Final = """\
{mark} systemctl --user edit '{name}.service'
[Unit]
Description=workgraph in {project}, the daemon
StartLimitIntervalSec=300
StartLimitBurst=5
Wants=%p@%i.socket
After=%p@%i.socket

[Service]
Type=notify
ExecStart={start}
ExecReload={reload}
WorkingDirectory={project}/
{environment}WatchdogSec={watchdog_s}
Restart=on-failure
RestartSec=1
TimeoutStartSec=300
TimeoutStopSec=30
KillMode=process
OOMPolicy=continue
Delegate=yes
UMask=0077

[Install]
WantedBy=default.target
Also=%p@%i.socket
"""

_SOCKET: Final = """\
{mark} systemctl --user edit '{name}.socket'
[Unit]
Description=workgraph in {project}, the socket

[Socket]
ExecStartPre={guard}
ListenStream={socket}
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
"""

_OPTIONS: Final = """\
# Written by `wg service start` with options; gone at the next start without any.
[Service]
ExecStart=
ExecStart={start}
"""


class Units(Record, frozen=True, kw_only=True):
    """The two units of a project, and what they are made from."""

    #: The folder that holds `.wg`.
    project_dir: str
    wg_dir: str
    #: Where the daemon is to listen.
    socket_path: str
    python: str
    #: What the daemon needs of the environment that the user manager has not.
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """Both units' name, without what they end in."""
        return unit_name(self.project_dir)

    @property
    def service(self) -> str:
        """The daemon's unit."""
        return f"{self.name}.service"

    @property
    def socket(self) -> str:
        """The socket's unit."""
        return f"{self.name}.socket"

    @property
    def texts(self) -> dict[str, str]:
        """The files, by their names."""
        project = _setting(self.project_dir)
        name = {"mark": MARK, "name": self.name}
        service = _SERVICE.format(
            **name,
            project=project,
            start=self.command_line(),
            reload=self._line("workgraph", "--dir", self.wg_dir, "service", "reload"),
            environment="".join(
                f"Environment={_quoted(f'{key}={value}')}\n"
                for key, value in sorted(self.environment.items())
            ),
            watchdog_s=WATCHDOG_S,
        )
        socket = _SOCKET.format(
            **name,
            project=project,
            guard=self._line("workgraph.daemon.unheld", self.wg_dir),
            socket=_setting(self.socket_path),
        )
        return {self.service: service, self.socket: socket}

    def command_line(self, options: Iterable[str] = ()) -> str:
        """What starts the daemon, with its options, as ExecStart has it."""
        return self._line("workgraph.daemon", "--dir", self.wg_dir, *options)

    def options_text(self, options: Iterable[str]) -> str:
        """A drop-in for one run with options."""
        return _OPTIONS.format(start=self.command_line(options))

    def _line(self, module: str, *argv: str) -> str:
        # -P: what lies in the working folder is not to be imported.
        words = (self.python, "-P", "-m", module, *argv)
        return " ".join(_quoted(word).replace("$", "$$") for word in words)


def unit_name(project_dir: str) -> str:
    """The units' name of a project: `wgd@` and its path as `systemd-escape -p` has it.

    A path too long for that is named by its hash.
    """
    name = f"wgd@{escape_path(project_dir)}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.blake2b(project_dir.encode("utf-8", "surrogateescape"))
    return f"wgd@{digest.hexdigest()[:32]}"


def escape_path(path: str) -> str:
    """A path as part of a unit's name; what `systemd-escape --path` prints."""
    words = [word for word in path.split("/") if word not in {"", "."}]
    raw = "/".join(words).encode("utf-8", "surrogateescape")
    if not raw:
        return "-"
    return "".join(
        "-"
        if byte == ord("/")
        else chr(byte)
        if byte in _PLAIN and not (at == 0 and byte == ord("."))
        else f"\\x{byte:02x}"
        for at, byte in enumerate(raw)
    )


def is_kept_over_reloads(path: str) -> bool:
    """Whether systemd knows its socket at that path again after a daemon-reload.

    It notes paths down with escapes and compares them without (seen in 252). A daemon
    that runs keeps the socket all the same, and one that is started makes its own.
    """
    return path.isascii() and not any(char in path for char in "\\\"'")


def check_path(path: str) -> None:
    """Refuse a path that no unit file can hold.

    Raises:
        UserError: It has control characters, or is not UTF-8.
    """
    if any(ord(char) < ord(" ") or char == "\x7f" for char in path):
        problem = "control characters in it"
    elif not _is_utf8(path):
        problem = "bytes in it that are not UTF-8"
    else:
        return
    raise UserError(
        f"the path {path!r} has {problem}, which no unit file can hold",
        hint="move the project, or use `wg service start` without units",
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _setting(text: str) -> str:
    """A whole value: only specifiers mean something in it."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word of a value that has several."""
    escaped = "".join(
        f"\\x{ord(char):02x}"
        if ord(char) < ord(" ") or char == "\x7f"
        else f"\\{char}"
        if char in '\\"'
        else char
        for char in word
    )
    return f'"{_setting(escaped)}"'

"""`wg`, the thin client: argv, cwd and environment to the daemon, its frames back.

It parses nothing and imports next to nothing: a whole call costs little more than
starting Python (STYLE, wg). What can't be left to a daemon, and everything when there
is none, is handed to `daemon.offline`, which is as heavy as it needs to be.
"""

# `_socket` is the C half of `socket`, undocumented but in every CPython: 7 ms of 20.
import _socket
import os
import sys

from workgraph import __version__, wire

#: As `typing` has it, which takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from workgraph import transfers

#: Commands that are about the daemon or the installation: they run in this process.
LOCAL_COMMANDS = ("init", "run", "doctor", "help", "completion")
LOCAL_SERVICE_COMMANDS = (
    "start",
    "stop",
    "restart",
    "status",
    "install",
    "uninstall",
)
LOCAL_OPTIONS = ("--help", "-h", "--install-completion", "--show-completion")
COMPLETION_VARIABLES = ("_WG_COMPLETE", "_TYPER_COMPLETE")

#: Within this a daemon must have said that it took the call (CONTRACT §2).
ANSWER_S = 5
#: ... or within this, if systemd starts it because of this connection.
START_S = 30
#: How often a daemon with a full queue of connections is tried again.
CONNECT_RETRY_S = 0.01

#: What SO_PEERCRED gives: pid, uid, gid.
_PEERCRED_BYTES = 12
_NO_ONE_LISTENS = (FileNotFoundError, ConnectionRefusedError, NotADirectoryError)


def main() -> None:
    """Run `wg` with this process's arguments, and end the process."""
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        _die_of("SIGINT")
    except BrokenPipeError:
        _die_of("SIGPIPE")
    else:
        # All output went through os.write: taking the interpreter apart would only
        # cost another millisecond.
        os._exit(status)


def run(argv: list[str]) -> int:
    """The exit status of a call; what has to run in this process ends it itself."""
    if argv == ["--version"]:
        wire.write_all(1, f"wg {__version__}\n".encode())
        return 0
    named, rest = wire.named_dir(argv)
    if not is_local(rest, os.environ):
        cwd = _current_dir()
        project = Project(named, cwd)
        try:
            sock = project.connect()
            if sock is not None:
                status = Conversation(sock, project).hold(encode_call(argv, cwd))
                if status is not None:
                    return status
        except ClientError as error:
            text = wire.error_text(
                error.message, error.hint, "failed", as_json=wire.wants_json(argv)
            )
            wire.write_all(2, os.fsencode(text))
            return 1
    sys.exit(_offline_main()(argv))


def is_local(argv: list[str], env: "os._Environ[str]") -> bool:
    """Whether a command never needs the daemon's answer.

    Args:
        argv: The arguments without `--dir`.
        env: A completion asked for by the shell has no arguments, and is no local one.
    """
    words = []
    for argument in argv:
        if not argument.startswith("-"):
            words.append(argument)
        elif not words and argument.partition("=")[0] in LOCAL_OPTIONS:
            return True
    if not words:
        return not any(name.startswith(COMPLETION_VARIABLES) for name in env)
    if words[0] == "chat":
        return words[1:2] == ["attach"]
    if words[0] == "service":
        return len(words) > 1 and words[1] in LOCAL_SERVICE_COMMANDS
    return words[0] in LOCAL_COMMANDS


def encode_call(argv: list[str], cwd: str) -> bytes:
    """The frame that says everything about this process that the daemon needs."""
    umask = os.umask(0o077)
    os.umask(umask)
    terminals = [os.isatty(fd) for fd in range(3)]
    columns = 0
    for fd in (1, 2, 0):
        if terminals[fd]:
            columns = os.get_terminal_size(fd).columns
            break
    fields = (
        __version__.encode(),
        os.fsencode(cwd),
        b"%o" % umask,
        b"%d%d%d" % tuple(terminals),
        b"%d" % columns,
        b"%d" % os.getpid(),
    )
    variables = [
        os.fsencode(f"{name}={value}")
        for name, value in os.environ.items()
        if wire.is_sent(name)
    ]
    return wire.encode_call(fields, variables, [os.fsencode(a) for a in argv])


class ClientError(Exception):
    """What ends the call in this process: a message, and a remedy."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Project:
    """Which project is meant, and how its daemon is reached."""

    def __init__(self, named: str | None, cwd: str) -> None:
        # A folder named on the command line is meant more than what the environment
        # says, which for an agent always names its own project's socket.
        self.socket = None if named else os.environ.get("WG_SOCKET")
        self.wg_dir = wire.find_wg_dir(named or os.environ.get("WG_DIR"), cwd)

    def connect(self) -> "_socket.socket | None":
        """A connection to the daemon; None where no one listens."""
        for path in self._socket_paths():
            sock = self._connect_to(path)
            if sock is not None:
                return sock
        return None

    def no_answer(self) -> ClientError:
        """The error that names who should have answered."""
        holder = self._holder()
        who = f"the daemon (pid {holder})" if holder else "the daemon"
        hint = f"it may hang: `kill {holder}` ends it, agents go on" if holder else ""
        return ClientError(f"{who} does not answer", hint)

    def _socket_paths(self) -> list[str]:
        if self.socket:
            return [self.socket]
        if self.wg_dir is None:
            return []
        try:
            owner = os.stat(self.wg_dir).st_uid
        except OSError:
            return []
        own = owner == os.geteuid()
        runtime_dir = os.environ.get("XDG_RUNTIME_DIR") if own else None
        paths = wire.socket_candidates(self.wg_dir, owner, runtime_dir)
        if len(paths) == 1 and os.path.dirname(paths[0]) == self.wg_dir:
            return paths
        # /tmp is everybody's: a folder that is not the owner's alone is nobody's word.
        return [p for p in paths if wire.is_private(os.path.dirname(p), owner)]

    def _connect_to(self, path: str) -> "_socket.socket | None":
        waited = 0.0
        while True:
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            sock.settimeout(ANSWER_S)
            try:
                sock.connect(path)
            except _NO_ONE_LISTENS:
                sock.close()
                return None
            except BlockingIOError:  # its queue of connections is full
                sock.close()
                if waited >= ANSWER_S:
                    raise self.no_answer() from None
                import time

                time.sleep(CONNECT_RETRY_S)
                waited += CONNECT_RETRY_S
            except OSError as error:
                sock.close()
                reason = error.strerror or str(error)
                message = f"can't reach the daemon at {path}: {reason}"
                raise ClientError(message) from None
            else:
                return sock

    def _holder(self) -> int | None:
        folder = self.wg_dir or os.path.dirname(self.socket or "")
        try:
            fd = os.open(os.path.join(folder, wire.LOCK_NAME), os.O_RDONLY)
        except OSError:
            return None
        words = os.read(fd, 64).split()
        os.close(fd)
        return int(words[-1]) if words and words[-1].isdigit() else None


class Conversation:
    """One call: its frames until the daemon says the exit status."""

    def __init__(self, sock: "_socket.socket", project: Project) -> None:
        self.sock = sock
        self.project = project
        self.frames = wire.FrameBuffer()
        #: What of this process's files is on its way; few calls have any.
        self.source: transfers.Source | None = None
        self.target: transfers.Target | None = None
        self.pending = b""

    def hold(self, call: bytes) -> int | None:
        """The exit status; None if the daemon hung up before it took the call."""
        try:
            data = self._begin(call)
        except (BrokenPipeError, ConnectionResetError):
            return None
        if not data:
            return None
        self.sock.settimeout(None)
        try:
            return self._follow(data)
        finally:
            if self.target is not None:
                self.target.abandon()

    def _begin(self, call: bytes) -> bytes:
        """Send the call; the first that the daemon says to it."""
        waited = 0
        while True:
            try:
                while call:
                    call = call[self.sock.send(call, _socket.MSG_NOSIGNAL) :]
                return self.sock.recv(wire.CHUNK_BYTES)
            except TimeoutError:
                waited += ANSWER_S
                if waited >= START_S or not is_coming_up(self.sock):
                    raise self.project.no_answer() from None

    def _follow(self, data: bytes) -> int:
        buffer = self.frames.data
        while data:
            buffer += data
            while frame := self.frames.take():
                kind, body = frame
                if kind == wire.OUT:
                    wire.write_all(1, body)
                elif kind == wire.ERR:
                    wire.write_all(2, body)
                elif kind == wire.EXIT:
                    return int(body)
                elif kind != wire.ACK:
                    self._serve(kind, body)
            data = self._receive()
        message = "the daemon ended before it answered"
        hint = "what was asked for may have been done: look with `wg list`"
        raise ClientError(message, hint)

    def _serve(self, kind: bytes, body: bytes) -> None:
        from workgraph import transfers

        source = self.source = self.source or transfers.Source()
        target = self.target = self.target or transfers.Target()
        if kind == wire.ASK_STDIN:
            source.open_stdin(int(body))
        elif kind == wire.READ_FILE:
            source.open_file(body)
        elif kind == wire.WRITE_FILE:
            self._answer(target.open(body))
        elif kind == wire.WRITE_CHUNK:
            target.write(body)
        elif kind == wire.WRITE_END:
            self._answer(target.finish())
        elif kind == wire.WRITE_ABANDON:
            target.abandon()
        else:
            message = f"the daemon said something that wg {__version__} does not know"
            raise ClientError(message, "restart it: `wg service restart`")

    def _answer(self, failure: str) -> None:
        kind = wire.FAILED if failure else wire.DONE
        self.pending += wire.encode_frame(kind, os.fsencode(failure))

    def _receive(self) -> bytes:
        """What the daemon sends next; meanwhile it gets what it asked for.

        Both directions go on at once: a daemon that waits for its output to be taken
        does not take input.
        """
        source = self.source
        if not self.pending and (source is None or not source.is_open):
            return self._receive_now()
        from select import POLLIN, POLLOUT, poll

        while True:
            waiting = poll()
            waiting.register(self.sock, POLLIN | (POLLOUT if self.pending else 0))
            reads = source is not None and source.is_open and not self.pending
            fd = source.fd if source is not None else -1
            if reads and fd >= 0:
                waiting.register(fd, POLLIN)
            ready = dict(waiting.poll(None if fd >= 0 or not reads else 0))
            state = ready.get(self.sock.fileno(), 0)
            if state & ~POLLOUT:
                return self._receive_now()
            if state:
                self._send_pending()
            elif reads and source is not None:
                self.pending = source.next_frame()
            if not self.pending and (source is None or not source.is_open):
                return self._receive_now()

    def _receive_now(self) -> bytes:
        try:
            return self.sock.recv(wire.CHUNK_BYTES)
        except ConnectionResetError:
            return b""

    def _send_pending(self) -> None:
        flags = _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT
        try:
            sent = self.sock.send(self.pending, flags)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # Its last words, an exit status among them, may still be there to be read.
            if self.source is not None:
                self.source.close()
            sent = len(self.pending)
        self.pending = self.pending[sent:]


def is_coming_up(sock: "_socket.socket") -> bool:
    """Whether it was not a daemon that runs that we have connected to.

    The kernel says who listened last when we came: systemd, which starts the daemon
    then, or a daemon that is gone, whose socket systemd has kept.
    """
    credentials = sock.getsockopt(
        _socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEERCRED_BYTES
    )
    pid = int.from_bytes(credentials[:4], sys.byteorder)
    if not pid:  # it is in another namespace of pids
        return False
    try:
        fd = os.open(f"/proc/{pid}/comm", os.O_RDONLY)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    name = os.read(fd, 16)
    os.close(fd)
    return name == b"systemd\n"


def _offline_main() -> "Callable[[list[str]], int]":
    """What carries a command out in this process: some 600 modules.

    Nothing of them is garbage: to look for it meanwhile took a seventh of the call.
    """
    import gc

    gc.disable()
    from workgraph.daemon.offline import main as offline_main

    gc.freeze()
    gc.enable()
    return offline_main


def _current_dir() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        # An agent may outlive its folder and still has something to say.
        return os.environ.get("PWD") or "/"


def _die_of(name: str) -> None:
    """End as a program that does not handle this signal: the shell must see it."""
    import signal

    number = getattr(signal, name)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # it was blocked

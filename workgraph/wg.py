"""`wg`, the thin client: argv, cwd and environment to the daemon, its frames back.

It parses nothing and imports next to nothing: a whole call costs little more than
starting Python (STYLE, wg). What can't be left to a daemon, and everything when there
is none, is handed to `daemon.offline`, which is as heavy as it needs to be.
"""

# `_socket` is the C half of `socket`, undocumented but in every CPython: 7 ms of 20.
import _socket
import os
import stat
import sys

from workgraph import __version__, wire

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
#: How often a daemon with a full queue of connections is tried again.
CONNECT_RETRY_S = 0.01

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
        _write_all(1, f"wg {__version__}\n".encode())
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
            _write_all(2, os.fsencode(text))
            return 1
    from workgraph.daemon.offline import main as offline_main

    sys.exit(offline_main(argv))


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
        self.source = Source()
        self.target = Target()
        self.pending = b""

    def hold(self, call: bytes) -> int | None:
        """The exit status; None if the daemon hung up before it took the call."""
        try:
            self.sock.sendall(call, _socket.MSG_NOSIGNAL)
            data = self.sock.recv(wire.CHUNK_BYTES)
        except TimeoutError:
            raise self.project.no_answer() from None
        except (BrokenPipeError, ConnectionResetError):
            return None
        if not data:
            return None
        self.sock.settimeout(None)
        try:
            return self._follow(data)
        finally:
            self.target.abandon()

    def _follow(self, data: bytes) -> int:
        buffer = self.frames.data
        while data:
            buffer += data
            while frame := self.frames.take():
                kind, body = frame
                if kind == wire.OUT:
                    _write_all(1, body)
                elif kind == wire.ERR:
                    _write_all(2, body)
                elif kind == wire.EXIT:
                    return int(body)
                elif kind != wire.ACK:
                    self._serve(kind, body)
            data = self._receive()
        message = "the daemon ended before it answered"
        hint = "what was asked for may have been done: look with `wg list`"
        raise ClientError(message, hint)

    def _serve(self, kind: bytes, body: bytes) -> None:
        if kind == wire.ASK_STDIN:
            self.source.open_stdin(int(body))
        elif kind == wire.READ_FILE:
            self.source.open_file(body)
        elif kind == wire.WRITE_FILE:
            self._answer(self.target.open(body))
        elif kind == wire.WRITE_CHUNK:
            self.target.write(body)
        elif kind == wire.WRITE_END:
            self._answer(self.target.finish())
        elif kind == wire.WRITE_ABANDON:
            self.target.abandon()
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
        if not self.pending and not self.source.is_open:
            return self._receive_now()
        from select import POLLIN, POLLOUT, poll

        while True:
            waiting = poll()
            waiting.register(self.sock, POLLIN | (POLLOUT if self.pending else 0))
            fd = self.source.fd
            reads = self.source.is_open and not self.pending
            if reads and fd >= 0:
                waiting.register(fd, POLLIN)
            ready = dict(waiting.poll(None if fd >= 0 or not reads else 0))
            state = ready.get(self.sock.fileno(), 0)
            if state & ~POLLOUT:
                return self._receive_now()
            if state:
                self._send_pending()
            elif reads:
                self.pending = self.source.next_frame()
            if not self.pending and not self.source.is_open:
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
            self.source.close()
            sent = len(self.pending)
        self.pending = self.pending[sent:]


class Source:
    """Standard input or a file on its way to the daemon."""

    def __init__(self) -> None:
        self.fd = -1
        self.is_open = False
        self._left: int | None = None
        self._failure = ""

    def open_stdin(self, limit: int) -> None:
        """Send standard input, at most `limit` bytes; 0: all of it."""
        self.fd = 0
        self.is_open = True
        self._left = limit or None

    def open_file(self, path: bytes) -> None:
        """Send the file of that path, or why it can't be read."""
        self.is_open = True
        self._left = None
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._failure = error.strerror or str(error)

    def next_frame(self) -> bytes:
        """The next frame to send; the last one closes the source."""
        data = b""
        if not self._failure:
            size = wire.CHUNK_BYTES
            try:
                data = os.read(
                    self.fd, min(size, size if self._left is None else self._left)
                )
            except OSError as error:
                self._failure = error.strerror or str(error)
        if self._failure:
            frame = wire.encode_frame(wire.FAILED, os.fsencode(self._failure))
            self.close()
            return frame
        if not data:
            self.close()
            return wire.encode_frame(wire.END)
        if self._left is not None:
            self._left -= len(data)
        return wire.encode_frame(wire.DATA, data)

    def close(self) -> None:
        """Stop sending."""
        if self.fd > 0:
            os.close(self.fd)
        self.fd = -1
        self.is_open = False
        self._failure = ""


class Target:
    """A file that the daemon writes through this process: whole, or not at all."""

    def __init__(self) -> None:
        self._fd = -1
        self._path = b""
        self._temporary = b""
        self._failure = ""

    def open(self, path: bytes) -> str:
        """Begin a file beside the one of that path; what went wrong, or nothing."""
        self.abandon()
        self._failure = ""
        # A link stays a link: what it names is replaced.
        self._path = os.path.realpath(path)
        create = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            mode = self._mode_of_existing()
            if mode is not None and not stat.S_ISREG(mode):
                # A terminal, a pipe, /dev/null: nothing to put in its place.
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
                return ""
            folder = os.path.dirname(self._path)
            self._temporary = os.path.join(folder, b".wg-%d.tmp" % os.getpid())
            self._fd = os.open(self._temporary, create | os.O_EXCL, 0o666)
            if mode is not None:
                os.fchmod(self._fd, mode & 0o777)
        except OSError as error:
            if self._fd < 0:
                self._temporary = b""
            self._fail(error)
        return self._failure

    def write(self, data: bytes) -> None:
        """Add to it; what goes wrong is said by `finish`."""
        if self._fd >= 0:
            try:
                _write_all(self._fd, data)
            except OSError as error:
                self._fail(error)

    def finish(self) -> str:
        """Make it durable and put it in place; what went wrong, or nothing."""
        if self._fd >= 0:
            try:
                if self._temporary:
                    os.fsync(self._fd)
                    os.rename(self._temporary, self._path)
                    self._temporary = b""
                    _sync_folder(os.path.dirname(self._path))
            except OSError as error:
                self._fail(error)
            self.abandon()
        return self._failure

    def abandon(self) -> None:
        """Forget it, and leave nothing behind."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary:
            try:  # noqa: SIM105 - contextlib takes a millisecond to import
                os.unlink(self._temporary)
            except OSError:
                pass
            self._temporary = b""

    def _mode_of_existing(self) -> int | None:
        try:
            return os.stat(self._path).st_mode
        except FileNotFoundError:
            return None

    def _fail(self, error: OSError) -> None:
        self._failure = error.strerror or str(error)
        self.abandon()


def _sync_folder(folder: bytes) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _current_dir() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        # An agent may outlive its folder and still has something to say.
        return os.environ.get("PWD") or "/"


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # somebody made the terminal non-blocking
            from select import POLLOUT, poll

            waiting = poll()
            waiting.register(fd, POLLOUT)
            waiting.poll()


def _die_of(name: str) -> None:
    """End as a program that does not handle this signal: the shell must see it."""
    import signal

    number = getattr(signal, name)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # it was blocked

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WG = [sys.executable, str(ROOT / "bin" / "wg")]
SERVE = [sys.executable, "-m", "tests.wire.serving"]

pytestmark = pytest.mark.system


class Project:
    """A folder with a served `.wg`."""

    def __init__(self, folder: Path, served: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self.served = served
        drop = ("WG_", "_WG", "COMP")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(drop)}

    def start(
        self, *argv: str | bytes, stdin: int = subprocess.DEVNULL, **env: str
    ) -> "subprocess.Popen[bytes]":
        """A `wg` that runs."""
        return subprocess.Popen(
            [*WG, *argv],
            cwd=self.folder,
            env=self.env | env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wg(
        self, *argv: str | bytes, given: bytes = b"", **env: str
    ) -> tuple[int, bytes, bytes]:
        """A `wg` that ran: status, stdout, stderr."""
        child = self.start(*argv, stdin=subprocess.PIPE, **env)
        out, err = child.communicate(given)
        return child.returncode, out, err


def serve(socket_path: str) -> "subprocess.Popen[str]":
    """The fake daemon, listening."""
    child = subprocess.Popen(
        [*SERVE, socket_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """One whose daemon runs."""
    wg_dir = tmp_path / ".wg"
    wg_dir.mkdir(mode=0o700)
    served = serve(str(wg_dir / "wgd.sock"))
    yield Project(tmp_path, served)
    served.kill()
    served.communicate()


def test_output_and_status_come_through(project: Project) -> None:
    """As the daemon says them."""
    assert project.wg("task-status", "x") == (0, b"open\n", b"")
    assert project.wg("exit", "75") == (75, b"", b"")
    assert project.wg("nonsense") == (2, b"", b"what?\n")


def test_an_error_is_shown_as_asked_for(project: Project) -> None:
    """For people, and with --json for programs."""
    status, out, err = project.wg("show", "x")
    assert (status, out) == (3, b"")
    assert err == b"wg: no task x\nhint: did you mean it?\n"

    assert project.wg("bug")[0] == 1


def test_arguments_are_bytes(project: Project) -> None:
    """Not UTF-8, empty, with newlines: all come through."""
    status, out, _ = project.wg("argv", b"\xff\xfe", "", "a\nb", "ü", LC_ALL="C")

    assert (status, out) == (0, b"\xff\xfe\n\na\nb\n\xc3\xbc\n")


def test_the_daemon_knows_the_caller(project: Project) -> None:
    """Folder, umask, terminals, the variables that matter and no others."""
    _, out, _ = project.wg("describe", WG_TASK_ID="t", SECRET="s", NO_COLOR="1")

    call = json.loads(out)
    assert call["cwd"] == str(project.folder)
    assert call["tty"] == [False, False, False]
    assert call["env"]["WG_TASK_ID"] == "t"
    assert call["env"]["NO_COLOR"] == "1"
    assert "SECRET" not in call["env"]
    assert call["peer"]["uid"] == os.getuid()
    assert call["pid"] == call["peer"]["pid"]


def test_a_terminal_is_told_apart(project: Project) -> None:
    """Each of the three."""
    ours, theirs = pty.openpty()
    child = project.start("describe", stdin=theirs)

    out, _ = child.communicate()

    os.close(ours)
    os.close(theirs)
    assert json.loads(out)["tty"] == [True, False, False]


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_stdin_comes_through(project: Project, size: int) -> None:
    """Of any size, whole."""
    given = os.urandom(size)

    assert project.wg("stdin", "3000000", given=given) == (0, given, b"")
    assert project.wg("cat", given=given) == (0, given, b"")


def test_too_much_stdin_is_refused(project: Project) -> None:
    """Though its writer goes on."""
    status, _, err = project.wg("stdin", "10", given=b"x" * 200_000)

    assert (status, err) == (1, b"wg: standard input is longer than 10 bytes\n")


def test_stdin_is_left_alone_unless_asked_for(project: Project) -> None:
    """A loop that reads lines and calls `wg` keeps its lines."""
    script = f'while read line; do {" ".join(WG)} argv "$line"; done'

    out = subprocess.run(
        ["sh", "-c", script],
        cwd=project.folder,
        input=b"a\nb\n",
        capture_output=True,
        check=True,
    ).stdout

    assert out == b"a\nb\n"


def test_files_are_read_by_the_client(project: Project) -> None:
    """Relative to its folder; errors are the system's words."""
    content = os.urandom(3_000_000)
    (project.folder / "f").write_bytes(content)

    assert project.wg("read", "f") == (0, content, b"")
    status, _, err = project.wg("read", "nowhere")
    assert status == 1
    assert err == (
        b"wg: can't read nowhere: No such file or directory\n"
        b"hint: name a file that you can read\n"
    )
    _, _, err = project.wg("read", ".")
    assert err.startswith(b"wg: can't read .: Is a directory\n")


def test_files_are_written_whole_by_the_client(project: Project) -> None:
    """With its umask, through links, keeping the mode of what was there."""
    old = project.folder / "old"
    old.write_text("old")
    old.chmod(0o640)
    (project.folder / "link").symlink_to("old")
    before = os.umask(0o027)
    try:
        assert project.wg("write", "new", "200000") == (0, b"", b"")
    finally:
        os.umask(before)
    assert project.wg("write", "link", "10") == (0, b"", b"")

    assert (project.folder / "new").read_bytes() == b"y" * 200_000
    assert (project.folder / "new").stat().st_mode & 0o777 == 0o640
    assert old.read_bytes() == b"y" * 10
    assert old.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in project.folder.iterdir()) == [
        ".wg",
        "link",
        "new",
        "old",
    ]
    status, _, err = project.wg("write", "no/where", "10")
    assert status == 1
    assert err == (
        b"wg: can't write no/where: No such file or directory\n"
        b"hint: name a place that you can write to, with room in it\n"
    )
    assert project.wg("write", "/dev/full", "10")[0] == 1


def test_a_closed_pipe_ends_it_quietly(project: Project) -> None:
    """As SIGPIPE ends any other tool, endless as the output is."""
    child = project.start("flood")
    assert child.stdout
    assert child.stderr
    assert child.stdout.readline() == b"line\n"

    child.stdout.close()

    assert child.wait() == -signal.SIGPIPE
    assert child.stderr.read() == b""
    child.stderr.close()


def test_ctrl_c_ends_it_by_the_signal(project: Project) -> None:
    """The shell sees 130, and no traceback is shown."""
    child = project.start("hang")
    assert child.stdout
    assert child.stdout.readline() == b"started\n"

    child.send_signal(signal.SIGINT)

    assert child.communicate() == (b"", b"")
    assert child.returncode == -signal.SIGINT


def test_a_transaction_goes_on_without_its_client(project: Project) -> None:
    """What was begun is committed."""
    fifo = project.folder / "committed"
    os.mkfifo(fifo)
    child = project.start("commit", str(fifo))
    assert child.stdout
    assert child.stdout.readline() == b"started\n"

    child.kill()
    child.communicate()

    assert fifo.read_text() == "committed"


def test_a_slow_reader_of_a_stream_loses_the_oldest_lines(project: Project) -> None:
    """And is told how many; the last ones arrive."""
    fifo = project.folder / "said"
    os.mkfifo(fifo)
    child = project.start("follow", str(fifo))
    assert fifo.read_text() == "all said"

    out, err = child.communicate()
    assert child.returncode == 0

    lines = out.splitlines()
    assert lines[-1] == b"line 399999"
    left_out = sum(int(word.split()[1]) for word in err.splitlines())
    assert left_out > 0
    assert len(lines) + left_out == 400_000


def test_24_clients_at_once(project: Project) -> None:
    """Each gets its own answer."""
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda n: project.wg("argv", str(n)), range(96)))

    assert answers == [(0, b"%d\n" % n, b"") for n in range(96)]


def test_a_daemon_that_does_not_answer_is_named(project: Project) -> None:
    """By its pid, within seconds; --json says so in JSON."""
    (project.folder / ".wg" / "wgd.lock").write_text(f"wgd {project.served.pid}\n")
    project.served.send_signal(signal.SIGSTOP)

    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(project.wg, "list")
        as_json = pool.submit(project.wg, "list", "--json")

    status, out, err = plain.result()
    assert (status, out) == (1, b"")
    said = f"wg: the daemon (pid {project.served.pid}) does not answer\n"
    assert err.decode().startswith(said)
    assert json.loads(as_json.result()[2])["error"]["code"] == "failed"


def test_a_daemon_that_dies_meanwhile_is_an_error(project: Project) -> None:
    """The call was taken: it is not done again."""
    child = project.start("hang")
    assert child.stdout
    assert child.stdout.readline() == b"started\n"

    project.served.kill()

    _, err = child.communicate()
    assert child.returncode == 1
    assert err.startswith(b"wg: the daemon ended before it answered\n")


def test_the_folder_is_found_as_documented(project: Project) -> None:
    """By --dir, WG_DIR, WG_SOCKET, and upwards."""
    below = project.folder / "a" / "b"
    below.mkdir(parents=True)
    here = project.folder
    project.folder = below

    assert project.wg("exit", "7")[0] == 7
    assert (
        project.wg("exit", "7", WG_SOCKET=f"{here}/.wg/wgd.sock", WG_DIR="/no")[0] == 7
    )
    project.folder = Path("/")
    assert project.wg("exit", "7", WG_DIR=str(here / ".wg"))[0] == 7


def test_a_long_path_is_reached(tmp_path: Path) -> None:
    """Through the runtime folder, which must be private."""
    folder = tmp_path / ("d" * 100)
    wg_dir = folder / ".wg"
    wg_dir.mkdir(parents=True, mode=0o700)
    code = (
        "import sys; from workgraph.daemon.lock import socket_path;"
        "print(socket_path(sys.argv[1], {'XDG_RUNTIME_DIR': sys.argv[2]}))"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:  # a short path
        argv = [sys.executable, "-c", code, str(wg_dir), runtime]
        path = subprocess.check_output(argv, text=True).strip()
        assert path.startswith(runtime)
        served = serve(path)
        project = Project(folder, served)
        try:
            assert project.wg("exit", "7", XDG_RUNTIME_DIR=runtime)[0] == 7
        finally:
            served.kill()
            served.communicate()


def test_version_needs_no_project(tmp_path: Path) -> None:
    """Nor a daemon."""
    out = subprocess.check_output([*WG, "--version"], cwd=tmp_path)

    assert out.startswith(b"wg ")


def test_the_fast_path_imports_nothing_heavy(project: Project) -> None:
    """What Python itself loads, `_socket`, and ours."""
    code = (
        "import sys; before = set(sys.modules); sys.argv[1:] = ['exit', '0'];"
        "import os; os._exit = lambda status: print(*(set(sys.modules) - before));"
        "from workgraph.wg import main; main()"
    )
    out = subprocess.check_output(
        [sys.executable, "-c", code], cwd=project.folder, text=True
    )

    ours = {"workgraph", "workgraph.wg", "workgraph.wire"}
    assert set(out.split()) == ours | {"_socket"}


def test_a_full_queue_of_connections_is_not_a_dead_end(tmp_path: Path) -> None:
    """A listener that never accepts is a daemon that does not answer."""
    wg_dir = tmp_path / ".wg"
    wg_dir.mkdir(mode=0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(wg_dir / "wgd.sock"))
    listener.listen(0)
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(str(wg_dir / "wgd.sock"))
    child = subprocess.run(
        [*WG, "list"], cwd=tmp_path, capture_output=True, check=False
    )

    waiting.close()
    listener.close()
    assert child.returncode == 1
    assert child.stderr.startswith(b"wg: the daemon does not answer")

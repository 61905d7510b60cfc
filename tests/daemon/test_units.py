import os
import shutil
import string
import subprocess  # noqa: TID251 - systemd's own programs judge the texts
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.system.user_manager import require_systemd
from workgraph.daemon.units import (
    Units,
    check_path,
    escape_path,
    is_kept_over_reloads,
    unit_name,
)
from workgraph.graph.errors import UserError

HARD = 'it\'s 100% $HOME ${A} \\x "q" é ;'

SERVICE = """\
# Written by `wg service install`; changes belong into a drop-in: \
systemctl --user edit 'wgd@srv-my\\x2dproject.service'
[Unit]
Description=workgraph in /srv/my-project, the daemon
StartLimitIntervalSec=300
StartLimitBurst=5
Wants=%p@%i.socket
After=%p@%i.socket

[Service]
Type=notify
ExecStart="/usr/bin/python3" "-P" "-m" "workgraph.daemon" \
"--dir" "/srv/my-project/.wg"
ExecReload="/usr/bin/python3" "-P" "-m" "workgraph" \
"--dir" "/srv/my-project/.wg" "service" "reload"
WorkingDirectory=/srv/my-project/
Environment="PATH=/usr/bin:/bin"
WatchdogSec=30
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

SOCKET = """\
# Written by `wg service install`; changes belong into a drop-in: \
systemctl --user edit 'wgd@srv-my\\x2dproject.socket'
[Unit]
Description=workgraph in /srv/my-project, the socket

[Socket]
ExecStartPre="/usr/bin/python3" "-P" "-m" "workgraph.daemon.unheld" \
"/srv/my-project/.wg"
ListenStream=/srv/my-project/.wg/wgd.sock
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
"""


@pytest.fixture
def short_folder() -> Iterator[str]:
    """One in which a socket may be, whatever the project's name."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def some_units(project_dir: str, **env: str) -> Units:
    """A project's units, with an interpreter that every machine has."""
    return Units(
        project_dir=project_dir,
        wg_dir=f"{project_dir}/.wg",
        socket_path=f"{project_dir}/.wg/wgd.sock",
        python="/usr/bin/python3",
        environment={"PATH": "/usr/bin:/bin", **env},
    )


def verify(home: Path, *files: Path) -> tuple[int, str]:
    """How `systemd-analyze verify` ends, and all that it says."""
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", *files],
        env={"XDG_RUNTIME_DIR": str(home), "HOME": str(home), "PATH": os.defpath},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return verified.returncode, verified.stdout


def test_the_texts_are_these() -> None:
    """Whole, so that no directive comes or goes unseen."""
    name = "wgd@srv-my\\x2dproject"

    assert some_units("/srv/my-project").texts == {
        f"{name}.service": SERVICE,
        f"{name}.socket": SOCKET,
    }


def test_options_of_a_start_are_a_drop_in() -> None:
    """It replaces the command and nothing else."""
    text = some_units("/p").options_text(["--set", "a.b=100%"])

    command = '"/usr/bin/python3" "-P" "-m" "workgraph.daemon" "--dir" "/p/.wg"'
    assert text.splitlines()[1:] == [
        "[Service]",
        "ExecStart=",
        f'ExecStart={command} "--set" "a.b=100%%"',
    ]


@pytest.mark.parametrize("name", ["plain", HARD])
def test_systemd_has_nothing_to_say_about_them(
    name: str, tmp_path: Path, short_folder: str
) -> None:
    """`systemd-analyze verify` prints nothing, whatever the path."""
    require_systemd(as_root=False)
    project = Path(short_folder, name)
    project.mkdir()
    units = some_units(str(project), ODD='a "b" $c %d \\e\n')
    files = [tmp_path / file for file in units.texts]
    for file, text in zip(files, units.texts.values(), strict=True):
        file.write_text(text, "utf-8")

    assert verify(tmp_path, *files) == (0, "")


def test_a_defect_would_be_noticed(tmp_path: Path) -> None:
    """The test above can fail."""
    require_systemd(as_root=False)
    service, _ = some_units("/srv").texts.values()
    file = tmp_path / "wgd@srv.service"
    file.write_text(service.replace("KillMode=process", "KillMode=nobody"), "utf-8")

    assert "kill mode" in verify(tmp_path, file)[1]


def test_paths_are_escaped_as_systemd_does_it() -> None:
    """So that `systemd-escape --path` names a project's units."""
    require_systemd(as_root=False)
    random = Random(7)
    letters = string.printable[:95] + "éß漢"
    paths = ["/", "/.hidden", "/a//b/./c/", f"/srv/{HARD}"]
    paths += [
        "/" + "".join(random.choices(letters, k=random.randint(1, 30)))
        for _ in range(200)
    ]
    paths = [path for path in paths if "/../" not in f"{path}/"]

    said = subprocess.run(
        ["systemd-escape", "--path", "--", *paths],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [escape_path(path) for path in paths] == said.rstrip("\n").split(" ")


def test_a_path_too_long_for_a_name_has_one_by_its_hash() -> None:
    """Always the same, and another path's is another."""
    long = "/" + "x" * 300

    assert unit_name(long) == unit_name(long)
    assert unit_name(long) != unit_name(long + "y")
    assert len(f"{unit_name(long)}.service.d") <= 255


@pytest.mark.parametrize("path", ["/a\nb", "/a\x7f", "/\udcff"])
def test_a_path_that_no_unit_can_hold_is_refused(path: str) -> None:
    """Rather than written wrongly."""
    with pytest.raises(UserError, match="no unit file can hold"):
        check_path(path)


@pytest.mark.parametrize(
    ("path", "kept"),
    [("/a b%$", True), ("/é", False), ("/it's", False), ("/a\\b", False)],
)
def test_what_systemd_forgets_is_known(path: str, kept: bool) -> None:
    """The user is told of it."""
    assert is_kept_over_reloads(path) is kept


def test_systemd_escape_is_where_systemd_is() -> None:
    """What these tests need comes in one package."""
    require_systemd(as_root=False)

    assert shutil.which("systemd-escape")

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from workgraph.daemon.activation import adopt_socket, find_place, is_listened_at
from workgraph.daemon.lock import bind_socket
from workgraph.graph.errors import UserError


@pytest.fixture
def wg_dir() -> Iterator[str]:
    """A project's folder, with a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "a b", ".wg")
        made.mkdir(mode=0o700, parents=True)
        yield str(made)


def listen_at(path: str) -> socket.socket:
    """What a service manager makes before it starts the daemon."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    made.listen()
    return made


def test_a_socket_handed_over_is_taken_and_kept(wg_dir: str) -> None:
    """It doesn't pass to children, and its path is left when the daemon ends."""
    path = f"{wg_dir}/wgd.sock"
    made = listen_at(path)
    fd = os.dup(made.fileno())
    os.set_inheritable(fd, True)

    place = find_place(wg_dir, {}, fd)
    listener = place.open()

    assert place.path == path
    assert listener.getsockname() == path
    assert not listener.get_inheritable()
    place.close()
    assert os.path.exists(path)
    listener.close()
    made.close()


def test_our_own_socket_goes_with_us(wg_dir: str) -> None:
    """As ever."""
    place = find_place(wg_dir, {}, None)
    listener = place.open()
    assert os.path.exists(place.path)

    place.close()

    assert not os.path.exists(place.path)
    listener.close()


def test_what_is_no_listening_socket_is_refused(wg_dir: str) -> None:
    """A file, or a socket that nobody can connect to."""
    with tempfile.TemporaryFile() as file, pytest.raises(UserError, match="is none"):
        adopt_socket(os.dup(file.fileno()), wg_dir, {})
    ours, theirs = socket.socketpair()
    with pytest.raises(UserError, match="no listening stream"):
        adopt_socket(ours.detach(), wg_dir, {})
    theirs.close()


def test_a_socket_where_nobody_looks_is_refused(wg_dir: str) -> None:
    """The message says where it is, and where it should be."""
    made = listen_at(f"{wg_dir}/other.sock")

    with pytest.raises(UserError) as refused:
        adopt_socket(made.detach(), wg_dir, {})

    assert "other.sock" in refused.value.message
    assert "wgd.sock" in refused.value.message


def test_a_folder_that_others_can_enter_is_refused(wg_dir: str) -> None:
    """As it is for a socket of our own."""
    made = listen_at(f"{wg_dir}/wgd.sock")
    os.chmod(wg_dir, 0o755)

    with pytest.raises(UserError, match="nobody else can enter"):
        adopt_socket(made.detach(), wg_dir, {})


def test_who_listens_is_seen_without_connecting(wg_dir: str) -> None:
    """A socket that was left behind is nobody's, nor is one that is only bound."""
    path = f"{wg_dir}/wgd.sock"
    assert not is_listened_at(path)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(path)
    assert not is_listened_at(path)
    bound.listen()
    assert is_listened_at(path)

    bound.settimeout(0)
    with pytest.raises(BlockingIOError):
        bound.accept()
    bound.close()

    assert not is_listened_at(path)


def test_another_ones_socket_is_not_taken_away(wg_dir: str) -> None:
    """Systemd would go on listening where nobody can connect any more."""
    made = bind_socket(f"{wg_dir}/wgd.sock")

    with pytest.raises(UserError, match="systemd listens") as refused:
        find_place(wg_dir, {}, None)

    assert "wg service start" in refused.value.hint
    made.close()

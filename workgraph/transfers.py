"""Files and standard input of `wg` on their way to the daemon, and files from there.

What the user names is read and written by the client. Few calls have any of it, so it
is imported when the first frame asks for it.
"""

import os
import stat

from workgraph import wire


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
                wire.write_all(self._fd, data)
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

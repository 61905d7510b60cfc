"""Writing a file in one step: a crash leaves the old one or the new one."""

import contextlib
import os
from pathlib import Path


def replace_file(file: Path, content: bytes, *, mode: int) -> None:
    """Puts content in place of a file, or makes it.

    A symlink stays one: what it points to is replaced.

    Args:
        mode: For a new file; one that is there keeps its own.

    Raises:
        OSError: It can't be written; nothing was changed.
    """
    target = file.resolve()
    with contextlib.suppress(FileNotFoundError):
        mode = target.stat().st_mode & 0o7777
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Makes durable what was made, renamed or removed in a folder.

    Raises:
        OSError: It can't be; some file systems know no such thing for folders.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Telling one process from every other, and the first one of a sandbox.

A number alone names no process for long: it is used again. A process is told from every
other one by its number, the boot, and the clock tick at which it started (`ProcessId`).
"""

import os

from workgraph.agents.signs import read_proc, read_stat
from workgraph.graph.model import ProcessId


def read_boot_id() -> str:
    """The id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def is_alive(process: ProcessId, boot_id: str) -> bool:
    """Says whether exactly this process runs."""
    if process.boot_id != boot_id:
        return False
    stat = read_stat(process.pid)
    return stat is not None and stat.alive and stat.start_ticks == process.start_ticks


def open_process(process: ProcessId) -> int | None:
    """A pidfd of exactly this process; null when it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # after the opening: from now on the number can't become another's unnoticed
    stat = read_stat(process.pid)
    if stat is None or not stat.alive or stat.start_ticks != process.start_ticks:
        os.close(fd)
        return None
    return fd


def is_first_of_namespace(pid: int) -> bool:
    """Whether it is process 1 of a PID namespace below ours: a sandbox's."""
    for line in read_proc(f"/proc/{pid}/status").split(b"\n"):
        if line.startswith(b"NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == b"1"
    return False

"""Agents that leave something behind, each in another way; each writes its pid."""

from typing import Final

#: Forks away, does what is said, writes the pid that is left, and sleeps. The agent
#: ends when what is left has become `sleep` (that closes the pipe), not before: its end
#: is what ends the rest, which then could not report any more.
_AWAY: Final = """
import os, signal, sys, time
report = sys.argv[1]
until_away, away = os.pipe()
if os.fork():
    os.close(away)
    os.read(until_away, 1)
    os.wait()
    os._exit({code})
os.setsid()
if os.fork():
    os._exit(0)
{then}
with open(report + ".tmp", "w") as file:
    file.write(str(os.getpid()))
os.rename(report + ".tmp", report)
{close}
os.execve("/bin/sleep", ["sleep", "1000"], {env})
"""
_IGNORE: Final = (
    "signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {9, 19})"
)
_CLOSE: Final = "os.closerange(0, away); os.closerange(away + 1, 4096)"

SETSID: Final = _AWAY.format(code=0, then="", close="", env="os.environ")
CLEARED: Final = _AWAY.format(code=0, then="", close="", env="{}")
DEAF: Final = _AWAY.format(code=7, then=_IGNORE, close="", env="os.environ")
#: Neither environment, nor descriptor, nor session: only a cgroup holds it.
SHEDS_ALL: Final = _AWAY.format(code=0, then=_IGNORE, close=_CLOSE, env="{}")

ALL: Final = {"setsid": SETSID, "cleared": CLEARED, "deaf": DEAF}

"""Agents that do what they should not: what each does, and what must be recorded of it.

Every one is a branch of `agent.sh` (`evidence`). Where the record can't know the end,
because the agent has attacked it, it says `lost`, never something that is not so.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Nasty(NamedTuple):
    """An agent that misbehaves.

    Args:
        does: Shell code; `leave` and `die` announce an end.
        status: What its task comes to.
        outcome: What its attempt came to.
    """

    does: str
    status: str
    outcome: str
    code: int | None = None
    signal: int | None = None
    #: More of its task, as `wg import` takes it.
    limits: Mapping[str, object] = MappingProxyType({})


_LIMIT: Final = MappingProxyType({"timeout_s": 0.3})
#: For who has something to do before it: a shell that starts, on a busy machine.
_LATER: Final = MappingProxyType({"timeout_s": 4})
#: Signals that end a process unless it says otherwise.
_DEADLY: Final = (*range(1, 17), *range(24, 28), 29, 30, 31)


def _done(does: str) -> Nasty:
    return Nasty(does, "done", "done", 0)


def _exits(code: int) -> Nasty:
    return Nasty(f"leave {code}", "failed", "failed", code)


def _dies(signal: int) -> Nasty:
    return Nasty(f"ulimit -c 0; die {signal}", "failed", "crashed", signal=signal)


NASTY: Final = {
    "exits at once": _done("leave 0"),
    **{f"exits with {code}": _exits(code) for code in (1, 2, 75, 126, 127, 255)},
    # of these two no shell says whether they are codes
    "exits with 130": Nasty("leave 130", "failed", "crashed", signal=2),
    "exits with 141": Nasty("leave 141", "failed", "crashed", signal=13),
    **{f"dies by {number}": _dies(number) for number in _DEADLY},
    "hangs": Nasty("sleep 600", "failed", "timed-out", signal=15, limits=_LIMIT),
    "heeds no TERM": Nasty(
        "trap '' TERM INT HUP QUIT; while :; do sleep 600; done",
        *("failed", "timed-out"),
        signal=9,
        limits=_LATER,
    ),
    "stops itself": Nasty(
        "kill -STOP $$; sleep 600", "failed", "timed-out", signal=15, limits=_LIMIT
    ),
    "stops its whole group": Nasty(
        "kill -STOP 0; sleep 600", "failed", "timed-out", signal=15, limits=_LIMIT
    ),
    "kills its parent": Nasty("attack; kill -9 $PPID; sleep 600", "failed", "lost"),
    "kills its group": Nasty("attack; kill -9 0", "failed", "lost"),
    "signals its group": Nasty(
        "for s in HUP INT QUIT PIPE ALRM USR1 USR2; do trap '' $s; kill -$s 0; done;"
        " say ended signal 15; kill -TERM 0; sleep 600",
        *("failed", "crashed"),
        signal=15,
    ),
    "closes its files": _done(
        "eval exec $(seq -s ' ' -f '%g>&-' 0 9); exec 3</dev/null; leave 0"
    ),
    "removes its folder": Nasty(
        'attack; rm -rf "$WG_DIR/agents/$WG_AGENT_ID"; leave 7', "failed", "failed", 7
    ),
    "replaces its folder": Nasty(
        'attack; cd "$WG_DIR/agents"; mv $WG_AGENT_ID .$WG_AGENT_ID;'
        " mkdir $WG_AGENT_ID; cd $WG_AGENT_ID; echo 1 >run; echo 0 >>run; echo 0 >exit;"
        " leave 7",
        *("failed", "failed", 7),
    ),
    "makes its folder a file": Nasty(
        'attack; cd "$WG_DIR/agents"; rm -rf $WG_AGENT_ID; echo x >$WG_AGENT_ID;'
        " leave 7",
        *("failed", "failed", 7),
    ),
    "writes nonsense into its record": Nasty(
        'attack; cd "$WG_DIR/agents/$WG_AGENT_ID"; head -c 100000 /dev/urandom >run;'
        " printf 'nothing\\n0\\n' >exit; leave 7",
        *("failed", "failed", 7),
    ),
    "makes its record a pipe": Nasty(
        'attack; cd "$WG_DIR/agents/$WG_AGENT_ID"; rm run; mkfifo run exit; leave 7',
        *("failed", "failed", 7),
    ),
    "makes its record a folder": Nasty(
        'attack; cd "$WG_DIR/agents/$WG_AGENT_ID"; rm run; mkdir run exit; leave 1',
        *("failed", "failed", 1),
    ),
    "closes its folder": Nasty(
        'attack; chmod 0 "$WG_DIR/agents/$WG_AGENT_ID"; leave 1',
        *("failed", "failed", 1),
    ),
    "makes its folder a loop": Nasty(
        'attack; cd "$WG_DIR/agents"; rm -rf $WG_AGENT_ID;'
        " ln -s $WG_AGENT_ID $WG_AGENT_ID; leave 1",
        *("failed", "failed", 1),
    ),
    **{
        f"makes its log a {thing}": Nasty(
            'attack; cd "$WG_DIR/agents/$WG_AGENT_ID"; rm output.log;'
            f" {make} output.log; leave 127",
            *("failed", "failed", 127),
        )
        for thing, make in (("folder", "mkdir"), ("pipe", "mkfifo"))
    },
    "floods with escapes": _done(
        r"printf '\033[2J\033]0;title\007\000\377\033[31mred\r\n'; "
        "head -c 300000 /dev/urandom; leave 0"
    ),
    "says it is done and hangs": Nasty(
        "trap '' TERM; wg done || leave 9; say ended signal 9;"
        " while :; do sleep 600; done",
        *("done", "done"),
        signal=9,
    ),
    "says done twice": _done("wg done && wg done; leave 0"),
    "says failed after done": _done("wg done && wg fail --reason no; leave 0"),
    "says done after failed": Nasty(
        "wg fail --reason no && wg done; leave 0", "failed", "failed", 0
    ),
    "says done and exits with 7": Nasty("wg done; leave 7", "done", "done", 7),
    "reads its stdin": _done("cat >/dev/null; leave 0"),
    "deletes the lock": _done('rm -f "$WG_DIR/wgd.lock"; leave 0'),
    "leaves a session behind": _done(
        "setsid sleep 600 </dev/null >/dev/null 2>&1 & leave 0"
    ),
    "leaves a session without environment": _done(
        "(env -i setsid sh -c 'sleep 600 & exit 0' </dev/null >/dev/null 2>&1 &);"
        " leave 0"
    ),
    "leaves a stubborn one in its group": _done(
        "sh -c 'trap \"\" TERM HUP; sleep 600' </dev/null >/dev/null 2>&1 & leave 0"
    ),
    "leaves a frozen one": _done("sleep 600 & kill -STOP $!; leave 0"),
    "forks on and on": _done(
        'bomb() { [ "$1" -eq 0 ] || { bomb $(($1 - 1)) & bomb $(($1 - 1)) & };'
        " sleep 600; }; bomb 5 </dev/null >/dev/null 2>&1 & leave 0"
    ),
    "forks on in sessions of their own": _done(
        'bomb=\'[ "$1" -eq 0 ] || { setsid sh -c "$2" x $(($1 - 1)) "$2" &'
        ' setsid sh -c "$2" x $(($1 - 1)) "$2" & }; sleep 600\';'
        ' setsid sh -c "$bomb" x 4 "$bomb" </dev/null >/dev/null 2>&1 & leave 0'
    ),
    "starts a daemon of its own": _done(
        'wgd && leave 9; wgd --dir "$WG_DIR" || leave 0'
    ),
    "stops the service": _done("wg service stop || leave 0; leave 9"),
}


def name_of(kind: str) -> str:
    """The id of the task, and the word of the script, for a kind of agent."""
    return kind.replace(" ", "-").lower()


#: By a word for each, those that leave no record of themselves.
ATTACKS: Final = {
    "removal": "removes its folder",
    "another": "replaces its folder",
    "file": "makes its folder a file",
    "nonsense": "writes nonsense into its record",
    "pipe": "makes its record a pipe",
    "folder": "makes its record a folder",
}

#: All of them as branches of `agent.sh`.
KINDS: Final = "\n".join(
    (
        "case $kind in",
        *(f"{name_of(kind)}) {nasty.does} ;;" for kind, nasty in NASTY.items()),
        "esac",
    )
)

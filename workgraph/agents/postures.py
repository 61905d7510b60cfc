"""What a coding agent may do unasked: how each client is told, as data.

A posture is the arguments and variables that one client takes for one of the words of
`[agents] permissions`. Each was tried with the real client; `docs/executors.md` has the
table of what holds, and where a client can't tell two of them apart.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field

from workgraph.settings import Permissions


class Posture(Struct, frozen=True, kw_only=True):
    """How one client is told what it may do."""

    #: What takes the place of `{permissions}` in the argv: a template itself.
    argv: tuple[str, ...] = ()
    #: The same where workgraph's own sandbox is around it; null: no difference.
    inside: tuple[str, ...] | None = None
    #: What is then not kept.
    lacks_inside: str = ""
    #: Variables, each a template; they go before the host's.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Tools that a task names are among what it allows anyway.
    allows_all: bool = False
    #: The client refuses it to root, unless this variable is `1`.
    root_word: str = ""


Postures = Mapping[Permissions, Posture]

CLAUDE: Final[Postures] = MappingProxyType(
    {
        "readonly": Posture(
            argv=(
                *("--permission-mode", "dontAsk"),
                *("--allowedTools", "Read,Glob,Grep,Bash(wg:*)"),
                *("--allowedTools", "{tools}"),
            )
        ),
        "edits": Posture(
            argv=(
                *("--permission-mode", "dontAsk"),
                *("--allowedTools", "Bash,Edit,Write,Read,Glob,Grep"),
                *("--allowedTools", "{tools}"),
            )
        ),
        "full": Posture(
            argv=("--permission-mode", "bypassPermissions"),
            allows_all=True,
            root_word="IS_SANDBOX",
        ),
    }
)

#: Two sandboxes can't be nested, and the outer one holds already.
_NO_SANDBOX: Final = "--dangerously-bypass-approvals-and-sandbox"
#: Of all users, as codex's own register there is.
_TMP: Final = "/tmp"  # noqa: S108
_READ: Final = '":root"="read",":tmpdir"="write","{wg_dir_escaped}"="write"'
#: Entries for what is not there do no harm; `.git` is read-only unless it is named.
_WRITE: Final = (
    f'{_READ},"/tmp"="write",'
    '"{workspace_escaped}"="write","{workspace_escaped}/.git"="write"'
)


def _codex_profile(entries: str, tmp: str) -> tuple[str, ...]:
    """A permission profile by `-c`: `exec resume` takes neither `-s` nor `--add-dir`.

    Sockets are open, because `wg` talks to the daemon by one. While a command runs,
    the sandbox puts folders that are not there (`.codex`, `.agents`) into those that
    can be written to, and takes them away again; what keeps several codex from taking
    away each other's is a register in the commands' TMPDIR, so that must be the same.
    """
    return (
        *("-c", 'default_permissions="wg"'),
        *("-c", f"permissions.wg.filesystem={{{entries}}}"),
        *("-c", "permissions.wg.network={enabled=true}"),
        *("-c", 'shell_environment_policy.set.TMPDIR="' + tmp + '"'),
    )


CODEX: Final[Postures] = MappingProxyType(
    {
        "readonly": Posture(
            argv=_codex_profile(_READ, "{wg_dir_escaped}/tmp"),
            inside=(_NO_SANDBOX,),
            lacks_inside="it can write wherever the sandbox lets it",
        ),
        "edits": Posture(argv=_codex_profile(_WRITE, _TMP), inside=(_NO_SANDBOX,)),
        "full": Posture(argv=(_NO_SANDBOX,), allows_all=True),
    }
)

GEMINI: Final[Postures] = MappingProxyType(
    {
        "readonly": Posture(
            argv=(
                *("--approval-mode", "default"),
                *("--allowed-tools", "run_shell_command(wg)"),
                *("--allowed-tools", "{tools}"),
            )
        ),
        "edits": Posture(
            argv=(
                *("--approval-mode", "auto_edit"),
                *("--allowed-tools", "run_shell_command"),
                *("--allowed-tools", "{tools}"),
            )
        ),
        "full": Posture(argv=("--approval-mode", "yolo"), allows_all=True),
    }
)

#: `--auto` allows what is not denied.
_OPENCODE_READ: Final = (
    '{"edit":"deny","bash":{"*":"deny","wg":"allow","wg *":"allow"},'
    '"webfetch":"deny"{tool_rules}}'
)
_OPENCODE_EDIT: Final = '{"webfetch":"deny"{tool_rules}}'

OPENCODE: Final[Postures] = MappingProxyType(
    {
        "readonly": Posture(
            argv=("--auto",), env={"OPENCODE_PERMISSION": _OPENCODE_READ}
        ),
        "edits": Posture(argv=("--auto",), env={"OPENCODE_PERMISSION": _OPENCODE_EDIT}),
        "full": Posture(
            argv=("--auto",),
            env={"OPENCODE_PERMISSION": '"allow"'},
            allows_all=True,
        ),
    }
)

NATIVE: Final[Postures] = MappingProxyType(
    {
        "readonly": Posture(
            argv=("--permissions", "readonly", "--allow", "{tools}"),
        ),
        "edits": Posture(argv=("--permissions", "edits"), allows_all=True),
        "full": Posture(argv=("--permissions", "full"), allows_all=True),
    }
)

"""The executors that come with workgraph: data, from what was measured of each client.

The argv are the headless ones that work without a terminal, for root too. The variables
that are set keep a client from looking for newer versions of itself, from reporting
what it does, and from trying again for minutes what will not work.
"""

from types import MappingProxyType
from typing import Final

from workgraph.agents import postures
from workgraph.agents.executor import Credentials, TemplateExecutor

SHELL: Final = TemplateExecutor(
    name="shell",
    argv=("/bin/sh", "-c", "{exec}"),
    # Nothing is read: a shell task gets no prompt (its standard input is /dev/null).
    prompt="file",
)

_CLAUDE: Final = (
    "claude",
    "-p",
    "--output-format",
    "stream-json",
    # Without it stream-json is refused.
    "--verbose",
    "{metered}",
    "{permissions}",
)
#: It reads message after message, and says which one it begins with.
_TALKS: Final = ("--input-format", "stream-json", "--replay-user-messages")
_MODEL: Final = ("--model", "{model}")

CLAUDE: Final = TemplateExecutor(
    name="claude",
    argv=(*_CLAUDE, "--session-id", "{new_session}", *_MODEL),
    resume=(*_CLAUDE, "--resume", "{session}", *_MODEL),
    chat=(
        *(*_CLAUDE, *_TALKS, "--session-id", "{new_session}"),
        # Recorded with the session, and sent again when that is resumed.
        *("--append-system-prompt-file", "{prompt_file}", *_MODEL),
    ),
    chat_resume=(*_CLAUDE, *_TALKS, "--resume", "{session}", *_MODEL),
    stream="claude",
    postures=postures.CLAUDE,
    # Its lines tell of output tokens only at the end otherwise.
    metered=("--include-partial-messages",),
    # IS_SANDBOX: the user's own word that bypassing permissions as root is meant.
    env=("ANTHROPIC_*", "CLAUDE_*", "API_TIMEOUT_MS", "IS_SANDBOX"),
    variables=MappingProxyType(
        {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            # Ten by default: three minutes of a key that is refused.
            "CLAUDE_CODE_MAX_RETRIES": "3",
            # Ten minutes by default for a service that does not answer at all.
            "API_TIMEOUT_MS": "120000",
        }
    ),
    credentials=Credentials(
        env=(
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
        ),
        files=("$CLAUDE_CONFIG_DIR/.credentials.json", "~/.claude/.credentials.json"),
    ),
    providers=("claude", "anthropic"),
)

#: After `exec` or `exec resume`, which takes neither `-s` nor `-C`.
_CODEX: Final = (
    "--json",
    "--skip-git-repo-check",
    # A login shell's profile resets PATH, and `wg` is not found.
    "-c",
    "allow_login_shell=false",
    "-c",
    "check_for_update_on_startup=false",
    "{permissions}",
    "-m",
    "{model}",
)

CODEX: Final = TemplateExecutor(
    name="codex",
    argv=("codex", "exec", *_CODEX, "-"),
    resume=("codex", "exec", "resume", *_CODEX, "{session}", "-"),
    stream="codex",
    postures=postures.CODEX,
    env=("CODEX_*", "OPENAI_*"),
    credentials=Credentials(
        env=("CODEX_API_KEY", "OPENAI_API_KEY"),
        files=("$CODEX_HOME/auth.json", "~/.codex/auth.json"),
    ),
    providers=("codex", "openai"),
)

_GEMINI: Final = (
    "gemini",
    "{permissions}",
    # Without it: exit 55 before any request.
    "--skip-trust",
    "--output-format",
    "stream-json",
    "-m",
    "{model}",
)

GEMINI: Final = TemplateExecutor(
    name="gemini",
    argv=(*_GEMINI, "--session-id", "{new_session}"),
    resume=(*_GEMINI, "--resume", "{session}"),
    stream="gemini",
    postures=postures.GEMINI,
    env=("GEMINI_*", "GOOGLE_*"),
    variables=MappingProxyType(
        {
            # It starts itself again otherwise, and TERM then ends only one of the two.
            "GEMINI_CLI_NO_RELAUNCH": "true",
            "GEMINI_TELEMETRY_ENABLED": "false",
        }
    ),
    credentials=Credentials(
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
        files=("~/.gemini/oauth_creds.json",),
    ),
    providers=("gemini", "google"),
)

_OPENCODE: Final = (
    *("opencode", "run", "--format", "json"),
    # What it tries again it tells nowhere else.
    *("--print-logs", "--log-level", "INFO"),
    *("{permissions}", "-m", "{model}"),
)

OPENCODE: Final = TemplateExecutor(
    name="opencode",
    argv=_OPENCODE,
    resume=(*_OPENCODE, "-s", "{session}"),
    stream="opencode",
    postures=postures.OPENCODE,
    # Its models are provider/model of any provider, each with a key of its own.
    env=("OPENCODE_*", "*_API_KEY"),
    variables=MappingProxyType(
        {
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        }
    ),
)

_NATIVE: Final = (
    # Not the working directory's modules in place of the library's.
    *("{python}", "-P", "-m", "workgraph.native"),
    *("--model", "{model}"),
    *("--endpoint", "{endpoint}", "--api-key-env", "{api_key_env}"),
    "{permissions}",
)

NATIVE: Final = TemplateExecutor(
    name="native",
    argv=(*_NATIVE, "--session-id", "{new_session}"),
    resume=(*_NATIVE, "--resume", "{session}"),
    stream="claude",
    needs_endpoint=True,
    postures=postures.NATIVE,
    # Where it keeps its sessions.
    env=("XDG_STATE_HOME",),
    module="pydantic_ai",
)

BUILTINS: Final = (SHELL, CLAUDE, CODEX, GEMINI, OPENCODE, NATIVE)

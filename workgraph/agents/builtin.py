"""The executors that come with workgraph: data, from what was measured of each client.

The argv are the headless ones that work without a terminal, for root too.
"""

from typing import Final

from workgraph.agents.executor import Credentials, TemplateExecutor

SHELL: Final = TemplateExecutor(
    name="shell",
    argv=("/bin/sh", "-c", "{exec}"),
    # Nothing is read: a shell task gets no prompt (its standard input is /dev/null).
    prompt="file",
)

CLAUDE: Final = TemplateExecutor(
    name="claude",
    argv=(
        "claude",
        "-p",
        "--output-format",
        "stream-json",
        # Without it stream-json is refused.
        "--verbose",
        "--permission-mode",
        "dontAsk",
        "--allowedTools",
        "Bash,Edit,Write,Read,Glob,Grep",
        "--model",
        "{model}",
    ),
    stream="claude",
    # IS_SANDBOX: the user's own word that bypassing permissions as root is meant.
    env=("ANTHROPIC_*", "CLAUDE_*", "API_TIMEOUT_MS", "IS_SANDBOX"),
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

CODEX: Final = TemplateExecutor(
    name="codex",
    argv=(
        "codex",
        "exec",
        "--json",
        "--skip-git-repo-check",
        # A login shell's profile resets PATH, and `wg` is not found.
        "-c",
        "allow_login_shell=false",
        "--dangerously-bypass-approvals-and-sandbox",
        "-m",
        "{model}",
        "-",
    ),
    stream="codex",
    env=("CODEX_*", "OPENAI_*"),
    credentials=Credentials(
        env=("CODEX_API_KEY", "OPENAI_API_KEY"),
        files=("$CODEX_HOME/auth.json", "~/.codex/auth.json"),
    ),
    providers=("codex", "openai"),
)

GEMINI: Final = TemplateExecutor(
    name="gemini",
    argv=(
        "gemini",
        "--approval-mode",
        "yolo",
        # Without it: exit 55 before any request.
        "--skip-trust",
        "--output-format",
        "stream-json",
        "-m",
        "{model}",
    ),
    stream="gemini",
    env=("GEMINI_*", "GOOGLE_*"),
    credentials=Credentials(
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
        files=("~/.gemini/oauth_creds.json",),
    ),
    providers=("gemini", "google"),
)

OPENCODE: Final = TemplateExecutor(
    name="opencode",
    argv=("opencode", "run", "--format", "json", "--auto", "-m", "{model}"),
    stream="opencode",
    # Its models are provider/model of any provider, each with a key of its own.
    env=("OPENCODE_*", "*_API_KEY"),
)

NATIVE: Final = TemplateExecutor(
    name="native",
    argv=(
        "{python}",
        "-m",
        "workgraph.agents.native",
        "--model",
        "{model}",
        "--endpoint",
        "{endpoint}",
    ),
    needs_endpoint=True,
)

BUILTINS: Final = (SHELL, CLAUDE, CODEX, GEMINI, OPENCODE, NATIVE)

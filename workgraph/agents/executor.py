"""Executors: what turns a job into an argv, from code, from plug-ins, or from data.

All of it is data and plain functions; nothing here runs anything. An argv template is a
list of arguments: each placeholder is filled once, within its argument, from the job;
what was filled in is never read again as a template, and no shell ever sees it. An
argument that is `{permissions}` or `{metered}` alone stands for several others.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import PurePath
from typing import Final, Protocol, runtime_checkable

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from workgraph.agents.postures import Posture, Postures
from workgraph.settings import (
    ExecutorSettings,
    Permissions,
    PromptMode,
    Settings,
    Stream,
)

GROUP: Final = "workgraph.executors"
_encode: Final = msgspec.json.Encoder().encode
#: Parts before the first `:` or `/` of a model that say who serves it.
PROVIDERS: Final = frozenset(
    {
        "anthropic",
        "claude",
        "codex",
        "cohere",
        "deepseek",
        "fireworks",
        "gemini",
        "google",
        "groq",
        "llamacpp",
        "lmstudio",
        "mistral",
        "ollama",
        "openai",
        "openrouter",
        "perplexity",
        "together",
        "vllm",
        "xai",
    }
)


class Job(Struct, frozen=True, kw_only=True):
    """What an argv is made from; empty where there is none."""

    task: str
    agent: str
    workspace: str
    prompt_file: str
    prompt: str = ""
    model: str = ""
    endpoint: str = ""
    #: The name of the variable that holds the endpoint's key.
    api_key_env: str = ""
    #: The session to go on with.
    session: str = ""
    #: What a new one is to be called, by clients that let themselves be told.
    new_session: str = ""
    #: The word of `[agents] permissions`.
    permissions: Permissions = "edits"
    #: The task's tools, with commas between them, and as rules of a JSON object.
    tools: str = ""
    tool_rules: str = ""
    #: Whether workgraph's own sandbox is around it.
    enclosed: bool = False
    #: Whether what it uses has to be known while it runs.
    metered: bool = False
    #: Whether it answers message by message, from an input that stays open.
    kept_open: bool = False
    #: Paths as they stand within the quotes of a JSON or TOML string.
    workspace_escaped: str = ""
    wg_dir_escaped: str = ""
    #: The command of a shell task.
    exec: str = ""
    #: The interpreter that workgraph itself runs on.
    python: str = "python3"


class Credentials(Struct, frozen=True, kw_only=True):
    """Alternatives, one of which an executor can't do without."""

    env: tuple[str, ...] = ()
    #: Paths that begin with `~/` or `$VARIABLE/`.
    files: tuple[str, ...] = ()


@runtime_checkable
class Executor(Protocol):
    """A kind of agent: which models it runs, and the argv for a job. Pure."""

    @property
    def name(self) -> str:
        """What settings and tasks call it."""

    @property
    def prompt(self) -> PromptMode:
        """How it takes the prompt."""

    @property
    def stream(self) -> Stream:
        """What it prints; all but `text` is structured."""

    @property
    def env(self) -> tuple[str, ...]:
        """Globs of the variables that it needs."""

    @property
    def needs_endpoint(self) -> bool:
        """Whether a job needs the address of a model service."""

    @property
    def credentials(self) -> Credentials | None:
        """What it can't do without; null when it can do without."""

    @property
    def preamble(self) -> str:
        """What is put before every prompt."""

    @property
    def chooses_session(self) -> bool:
        """Whether it calls a new session what it is told to."""

    @property
    def can_resume(self) -> bool:
        """Whether it can go on with a session."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables that it gets where neither host nor task has them."""

    def posture(self, permissions: Permissions) -> Posture | None:
        """How it is told what it may do; null when it can't be told."""

    def placeholders(self, job: Job) -> frozenset[str]:
        """What of a job has a place in its argv or variables."""

    def accepts(self, model: str) -> str | None:
        """Why it can't run a model; null when nothing speaks against it."""

    def command(self, job: Job) -> tuple[str, ...]:
        """The argv for a job; the program's name first, as it is looked up."""


class TemplateExecutor(Struct, frozen=True, kw_only=True):
    """An executor as data."""

    name: str
    argv: tuple[str, ...]
    prompt: PromptMode = "stdin"
    stream: Stream = "text"
    env: tuple[str, ...] = ()
    needs_endpoint: bool = False
    credentials: Credentials | None = None
    preamble: str = ""
    #: What takes the place of `argv` when there is a session to go on with.
    resume: tuple[str, ...] = ()
    #: What takes the place of `argv` where it is kept open for a chat, and where that
    #: goes on with a session; empty: it runs once for each message.
    chat: tuple[str, ...] = ()
    chat_resume: tuple[str, ...] = ()
    #: What takes the place of `{permissions}`.
    postures: Postures = field(default_factory=dict)
    #: What takes the place of `{metered}` where that is asked for.
    metered: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    #: The providers whose models it runs; empty: any.
    providers: tuple[str, ...] = ()
    #: A module that its program needs of workgraph's own interpreter, which comes with
    #: workgraph's extra of the executor's name; empty: none.
    module: str = ""

    @property
    def chooses_session(self) -> bool:
        """Whether it calls a new session what it is told to."""
        return _names("new_session", self.argv)

    @property
    def can_resume(self) -> bool:
        """Whether it can go on with a session."""
        return bool(self.resume) or _names("session", self.argv)

    def posture(self, permissions: Permissions) -> Posture | None:
        """How it is told what it may do; null when its argv leaves no place for it."""
        told = PERMISSIONS in self.argv
        return self.postures.get(permissions) if told else None

    def placeholders(self, job: Job) -> frozenset[str]:
        """What of a job has a place in its argv or variables."""
        posture = self.posture(job.permissions)
        env = posture.env.values() if posture else ()
        return frozenset(_PLACEHOLDER.findall(" ".join((*self._template(job), *env))))

    def accepts(self, model: str) -> str | None:
        """Why it can't run a model; null when nothing speaks against it."""
        provider = provider_of(model)
        if provider is None or not self.providers or provider in self.providers:
            return None
        return f"{provider} is not a provider that {self.name} can run models of"

    def command(self, job: Job) -> tuple[str, ...]:
        """The template filled for a job."""
        template = self._template(job)
        argv = fill_template(template, job)
        if job.kept_open:
            return argv
        if self.prompt == "argument" and not any(
            "{prompt}" in part for part in template
        ):
            return (*argv, job.prompt)
        return argv

    def _template(self, job: Job) -> tuple[str, ...]:
        """The template that holds for a job, its parts put in."""
        posture = self.posture(job.permissions) or Posture()
        told = posture.argv
        if job.enclosed and posture.inside is not None:
            told = posture.inside
        parts: dict[str, tuple[str, ...]] = {
            PERMISSIONS: told,
            METERED: self.metered if job.metered else (),
        }
        new, again = self.argv, self.resume
        if job.kept_open and self.chat:
            new, again = self.chat, self.chat_resume
        template = again if job.session and again else new
        return tuple(piece for part in template for piece in parts.get(part, (part,)))


class Executors(Struct, frozen=True, kw_only=True):
    """All executors that there are, and what could not be loaded, by name."""

    by_name: Mapping[str, Executor]
    problems: Mapping[str, str]


#: Arguments that stand for several.
PERMISSIONS: Final = "{permissions}"
METERED: Final = "{metered}"

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_FIELDS: Final = frozenset(Job.__struct_fields__) - {
    "permissions",
    "enclosed",
    "metered",
    "kept_open",
}


def fill_template(template: tuple[str, ...], job: Job) -> tuple[str, ...]:
    """Fills an argv template in a single pass.

    An argument with an empty placeholder is left out together with the flag directly
    before it; one that is a flag itself (`--model={model}`) goes alone. Braces around
    other words are text.
    """
    argv: list[str] = []
    flag_before = False
    for part in template:
        names = _PLACEHOLDER.findall(part)
        known = [name for name in names if name in _FIELDS]
        if known and not all(getattr(job, name) for name in known):
            if flag_before and not part.startswith("-"):
                argv.pop()
            flag_before = False
            continue
        argv.append(
            _PLACEHOLDER.sub(lambda match: _value(match, job), part) if known else part
        )
        flag_before = part.startswith("-") and "=" not in part
    return tuple(argv)


def fill_text(template: str, job: Job) -> str:
    """Fills a single text the same way; an empty placeholder leaves nothing."""
    return _PLACEHOLDER.sub(lambda match: _value(match, job), template)


def escaped(text: str) -> str:
    """A text as it stands within the quotes of a JSON or TOML string."""
    return _encode(text).decode()[1:-1]


def _names(placeholder: str, template: Iterable[str]) -> bool:
    return any(f"{{{placeholder}}}" in part for part in template)


def _value(match: re.Match[str], job: Job) -> str:
    name = match[1]
    return str(getattr(job, name)) if name in _FIELDS else match[0]


def provider_of(model: str) -> str | None:
    """The known provider that a model's name begins with, or null."""
    first, separator, _ = re.sub("[:/]", "\n", model, count=1).partition("\n")
    provider = first.strip().lower()
    return provider if separator and provider in PROVIDERS else None


def keeps_open(executor: Executor) -> bool:
    """Whether it can be kept open for a chat; else it runs once for each message."""
    return isinstance(executor, TemplateExecutor) and bool(executor.chat)


def goes_on(executor: Executor, *, kept_open: bool) -> bool:
    """Whether it can go on with a session, kept open for a chat or not."""
    if kept_open and isinstance(executor, TemplateExecutor) and executor.chat:
        return bool(executor.chat_resume) or _names("session", executor.chat)
    return executor.can_resume


def module_of(executor: Executor) -> str:
    """The module of workgraph's own interpreter that it needs; empty: none."""
    return executor.module if isinstance(executor, TemplateExecutor) else ""


def extra_remedy(name: str) -> str:
    """How to get the module that the executor of a name needs."""
    return f"pip install 'workgraph-orchestrator[{name}]'"


def load_executors(
    settings: Settings,
    builtins: Iterable[Executor],
    plugins: Iterable[EntryPoint] | None = None,
) -> Executors:
    """Puts together all executors: built-in, installed, and those of the settings.

    Args:
        plugins: The entry points of `workgraph.executors`; null asks the installation.
            Each names an executor, or a class or function that gives one.
    """
    by_name = {executor.name: executor for executor in builtins}
    problems: dict[str, str] = {}
    for plugin in entry_points(group=GROUP) if plugins is None else plugins:
        loaded = _load_plugin(plugin, by_name)
        if isinstance(loaded, str):
            problems[plugin.name] = loaded
        else:
            by_name[loaded.name] = loaded
    for name, given in settings.executors.items():
        configured = _configure(name, by_name.get(name), given)
        if isinstance(configured, str):
            problems[name] = configured
            by_name.pop(name, None)
        else:
            by_name[name] = configured
            if misspelt := _misspelt(_arguments(given)):
                problems[name] = misspelt
    return Executors(by_name=by_name, problems=problems)


def _load_plugin(plugin: EntryPoint, taken: Mapping[str, Executor]) -> Executor | str:
    """An executor of somebody else's, or why there is none."""
    try:
        loaded = plugin.load()
        if isinstance(loaded, type) or not isinstance(loaded, Executor):
            loaded = loaded()
    # The boundary to foreign code: one broken plug-in must not keep the rest from work.
    except Exception as error:  # noqa: BLE001, RUF100 - see above
        return f"executor {plugin.name} ({plugin.value}) can't be loaded: {error!r}"
    if not isinstance(loaded, Executor):
        return f"executor {plugin.name} ({plugin.value}) is not an executor"
    if loaded.name in taken:
        return f"executor {loaded.name} ({plugin.value}): there is one of that name"
    return loaded


def _configure(
    name: str, known: Executor | None, given: ExecutorSettings
) -> Executor | str:
    """An executor with what the settings say of it, or what is wrong with that."""
    if isinstance(known, TemplateExecutor):
        executor = known
    elif given.argv is None:
        what = "is not built in and " if known is None else "is a plug-in and "
        return f"[executors.{name}] {what}has no argv: give it one"
    elif known is None:
        executor = TemplateExecutor(name=name, argv=given.argv)
    else:
        executor = TemplateExecutor(
            name=name,
            argv=given.argv,
            prompt=known.prompt,
            stream=known.stream,
            env=known.env,
            needs_endpoint=known.needs_endpoint,
            credentials=known.credentials,
            preamble=known.preamble,
            variables=known.variables,
        )
    changed = {
        key: value
        for key in (
            "argv",
            "resume",
            "chat",
            "chat_resume",
            "prompt",
            "stream",
            "env",
            "needs_endpoint",
            "preamble",
        )
        if (value := getattr(given, key)) is not None
    }
    argv = changed.get("argv")
    if argv == ():
        return f"[executors.{name}].argv is empty: name a program"
    for key in ("resume", "chat", "chat_resume") if argv else ():
        # the ones that are known speak of another argv
        changed.setdefault(key, ())
    if given.credentials is not None:
        needed = Credentials(env=given.credentials)
        changed["credentials"] = needed if given.credentials else None
    elif argv and PurePath(argv[0]).name != PurePath(executor.argv[0]).name:
        # Another program in its place; nobody knows how that one logs in.
        changed["credentials"] = None
    if argv and PurePath(argv[0]).name != PurePath(executor.argv[0]).name:
        changed["module"] = ""
    return replace(executor, **changed)


def _arguments(given: ExecutorSettings) -> tuple[str, ...]:
    templates = (given.argv, given.resume, given.chat, given.chat_resume)
    return tuple(part for template in templates for part in template or ())


def _misspelt(argv: tuple[str, ...]) -> str | None:
    """A word in braces that is nearly a placeholder, as a warning."""
    for part in argv:
        for name in _PLACEHOLDER.findall(part):
            near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.75)
            if name not in Job.__struct_fields__ and near:
                return f"{{{name}}} in {part!r} is no placeholder: {{{near[0]}}} is one"
    return None

"""The options that `add` and `edit` share, and how they become a request's fields."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer
from msgspec import UNSET, UnsetType
from typer.models import OptionInfo

from workgraph.commands.cli_call import WgCommand, parameters_of, the_call
from workgraph.graph.errors import UsageError
from workgraph.graph.model import Complexity, ContextScope, RetryOn, Review

#: A number that the database surely holds, and no price or count comes near.
_MOST: Final = 10**15


def _keep(ctx: typer.Context, param: typer.CallbackParam, value: object) -> None:
    if value is None or param.name is None:
        return
    if isinstance(value, list | tuple):
        if value:
            # An empty text alone takes the whole list away.
            the_call(ctx).fields[param.name] = tuple(value) if any(value) else ()
    else:
        the_call(ctx).fields[param.name] = value


def _keep_env(
    ctx: typer.Context, param: typer.CallbackParam, value: list[str] | None
) -> None:
    for pair in value or ():
        if pair and not pair.partition("=")[0]:
            raise UsageError(f"--env {pair!r} has no name before the =")
        if pair and "=" not in pair:
            raise UsageError(f"--env {pair!r} is not NAME=VALUE")
    _keep(ctx, param, value)


def _option(
    *names: str,
    text: str,
    metavar: str | None = None,
    callback: Callable[..., None] = _keep,
    min: float | None = None,
    max: float | None = None,
) -> OptionInfo:
    option = typer.Option(
        *names,
        help=text,
        metavar=metavar,
        callback=callback,
        min=min,
        max=max,
        expose_value=False,
        show_default=False,
    )
    assert isinstance(option, OptionInfo)
    return option


#: Options that are a number or a choice, with their fields.
_NOT_TEXTS: Final[Mapping[str, str]] = {
    f"--{name.replace('_', '-')}": name
    for name in (
        *("priority", "complexity", "review", "max_attempts", "retry_on"),
        *("budget_tokens", "budget_usd", "context_scope"),
    )
}

Text = str | None
Texts = list[str] | None


def _task_options(
    *,
    description: Annotated[
        Text,
        _option(
            "-d",
            "--description",
            metavar="TEXT",
            text="What is to be done; - reads it.",
        ),
    ] = None,
    tag: Annotated[Texts, _option("--tag", metavar="TAG", text="A tag.")] = None,
    priority: Annotated[
        int | None,
        _option(
            "--priority",
            metavar="N",
            min=0,
            max=4,
            text="0 is first; the default is 2.",
        ),
    ] = None,
    skill: Annotated[
        Texts, _option("--skill", metavar="S", text="A skill that the actor must have.")
    ] = None,
    prefer: Annotated[
        Texts,
        _option("--prefer", metavar="S", text="A skill that the actor should have."),
    ] = None,
    complexity: Annotated[
        Complexity | None, _option("--complexity", text="How hard it is.")
    ] = None,
    input: Annotated[
        Texts, _option("--input", metavar="REF", text="TASK:NAME or a path.")
    ] = None,
    output: Annotated[
        Texts, _option("--output", metavar="PATH", text="An output it promises.")
    ] = None,
    context_file: Annotated[
        Texts, _option("--context-file", metavar="PATH", text="A file to read first.")
    ] = None,
    prompt: Annotated[
        Text,
        _option("--prompt", metavar="TEXT", text="A prompt of its own; - reads it."),
    ] = None,
    exec: Annotated[
        Text, _option("--exec", metavar="CMD", text="A shell command does the task.")
    ] = None,
    executor: Annotated[
        Text, _option("--executor", metavar="NAME", text="What kind of agent.")
    ] = None,
    model: Annotated[
        Text, _option("--model", metavar="SPEC", text="The model to use.")
    ] = None,
    endpoint: Annotated[
        Text, _option("--endpoint", metavar="NAME|URL", text="Where the model is.")
    ] = None,
    tool: Annotated[
        Texts, _option("--tool", metavar="NAME", text="A tool that is needed.")
    ] = None,
    working_dir: Annotated[
        Text,
        _option(
            "--working-dir", metavar="PATH", text="Relative to the project's folder."
        ),
    ] = None,
    env: Annotated[
        Texts,
        _option(
            "--env", metavar="K=V", callback=_keep_env, text="For its environment."
        ),
    ] = None,
    verify: Annotated[
        Texts, _option("--verify", metavar="CMD", text="Must exit 0 before done.")
    ] = None,
    review: Annotated[
        Review | None, _option("--review", text="Who has to see the work.")
    ] = None,
    max_attempts: Annotated[
        int | None,
        _option(
            "--max-attempts",
            metavar="N",
            min=1,
            max=_MOST,
            text="How often it is started.",
        ),
    ] = None,
    retry_on: Annotated[
        RetryOn | None, _option("--retry-on", text="What gives another attempt.")
    ] = None,
    timeout: Annotated[
        Text, _option("--timeout", metavar="D", text="Limit of an attempt: 90s, 2h.")
    ] = None,
    stall_timeout: Annotated[
        Text,
        _option("--stall-timeout", metavar="D", text="Limit without a sign of life."),
    ] = None,
    abandon_after: Annotated[
        Text, _option("--abandon-after", metavar="D", text="Limit of a claim.")
    ] = None,
    not_before: Annotated[
        Text, _option("--not-before", metavar="TIME|D", text="Not started earlier.")
    ] = None,
    actor: Annotated[
        Text, _option("--actor", metavar="NAME", text="Who shall do it.")
    ] = None,
    estimate: Annotated[
        Text, _option("--estimate", metavar="D", text="How long it should take.")
    ] = None,
    budget_tokens: Annotated[
        int | None,
        _option(
            "--budget-tokens", metavar="N", min=0, max=_MOST, text="Tokens it may use."
        ),
    ] = None,
    budget_usd: Annotated[
        float | None,
        _option(
            "--budget-usd", metavar="X", min=0, max=_MOST, text="Dollars it may use."
        ),
    ] = None,
    context_scope: Annotated[
        ContextScope | None,
        _option("--context-scope", text="How much of the graph is in its prompt."),
    ] = None,
) -> None:
    """Options of `add` and `edit`; only their parameters are used."""


class TaskCommand(WgCommand):
    """A command with the options of a task."""

    extra_parameters = tuple(parameters_of(_task_options))
    not_texts = _NOT_TEXTS


def task_fields(ctx: typer.Context) -> dict[str, Any]:
    """The fields of `TaskOptions` that this call sets."""
    return dict(the_call(ctx).fields)


def texts_or_unset(values: list[str] | None) -> tuple[str, ...] | UnsetType:
    """The values of a repeated option; unset where it was not given."""
    if not values:
        return UNSET
    return tuple(values) if any(values) else ()

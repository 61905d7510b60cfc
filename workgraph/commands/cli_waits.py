"""Commands by which a task waits for something, or for somebody (CONTRACT §3.2)."""

from typing import Annotated

import typer

from workgraph.commands.cli_call import (
    TaskArgument,
    TaskOption,
    WgCommand,
    the_task,
)
from workgraph.commands.cli_life import task_and_words
from workgraph.graph.errors import UsageError
from workgraph.graph.requests import AnswerQuestion, AskQuestion, WaitTask


def register(app: typer.Typer) -> None:
    """Adds these commands."""
    app.command("wait", cls=WgCommand)(_wait)
    app.command("ask", cls=WgCommand)(_ask)
    app.command("answer", cls=WgCommand)(_answer)


def _wait(
    ctx: typer.Context,
    until: Annotated[
        str,
        typer.Option(
            "--until",
            metavar="COND",
            help="task:ID=done|failed|abandoned|settled, timer:5m (or a time),"
            " message, file:PATH; , joins what is all to be met, | what any of.",
        ),
    ],
    task: TaskArgument = None,
    other: TaskOption = None,
) -> WaitTask:
    """Stop working until something happens; the slot is free meanwhile."""
    return WaitTask(task=the_task(ctx, task, other), until=until)


def _ask(
    ctx: typer.Context,
    first: TaskArgument = None,
    second: Annotated[
        str | None,
        typer.Argument(metavar="QUESTION", help="What you want to know; - reads it."),
    ] = None,
    other: TaskOption = None,
) -> AskQuestion:
    """Ask the operator, and stop working until there is an answer."""
    words = [word for word in (first, second) if word is not None]
    task, words = task_and_words(ctx, words, other, most=1)
    if not words:
        raise UsageError("the question is missing")
    return AskQuestion(task=task, question=words[0])


def _answer(
    ctx: typer.Context,
    first: TaskArgument = None,
    second: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The answer; - reads it.")
    ] = None,
    other: TaskOption = None,
) -> AnswerQuestion:
    """Answer the question that a task waits with."""
    words = [word for word in (first, second) if word is not None]
    task, words = task_and_words(ctx, words, other, most=1)
    if not words:
        raise UsageError("the answer is missing")
    return AnswerQuestion(task=task, text=words[0])

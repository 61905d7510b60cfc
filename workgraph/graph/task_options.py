"""What `wg add` and `wg edit` can set of a task, and the base of all requests."""

from msgspec import UNSET, UnsetType

from workgraph.graph.model import (
    Complexity,
    ContextScope,
    Record,
    RetryOn,
    Review,
)

Texts = tuple[str, ...]


class Request(
    Record, frozen=True, kw_only=True, tag_field="cmd", forbid_unknown_fields=True
):
    """The base of all requests. With `token` an attempt says who it is."""

    token: str | None = None


class TaskOptions(Request, frozen=True, kw_only=True):
    """The options that `add` and `edit` share; what is unset stays as it is.

    An empty text takes a value away; for numbers and choices that is null.
    """

    description: str | UnsetType = UNSET
    skill: Texts | UnsetType = UNSET
    prefer: Texts | UnsetType = UNSET
    tag: Texts | UnsetType = UNSET
    priority: int | UnsetType | None = UNSET
    complexity: Complexity | UnsetType | None = UNSET
    input: Texts | UnsetType = UNSET
    output: Texts | UnsetType = UNSET
    context_file: Texts | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    exec: str | UnsetType = UNSET
    executor: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    endpoint: str | UnsetType = UNSET
    tool: Texts | UnsetType = UNSET
    working_dir: str | UnsetType = UNSET
    env: Texts | UnsetType = UNSET
    verify: Texts | UnsetType = UNSET
    review: Review | UnsetType | None = UNSET
    max_attempts: int | UnsetType | None = UNSET
    retry_on: RetryOn | UnsetType | None = UNSET
    timeout: str | UnsetType = UNSET
    stall_timeout: str | UnsetType = UNSET
    abandon_after: str | UnsetType = UNSET
    not_before: str | UnsetType = UNSET
    actor: str | UnsetType = UNSET
    estimate: str | UnsetType = UNSET
    budget_tokens: int | UnsetType | None = UNSET
    budget_usd: float | UnsetType | None = UNSET
    context_scope: ContextScope | UnsetType | None = UNSET

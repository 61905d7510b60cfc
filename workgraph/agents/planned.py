"""A plan as people see it: in the log, in `wg plan`, and kept with its attempt."""

from typing import Any

from workgraph.agents.environment import MASK, Chosen, is_secret, mask_passwords
from workgraph.agents.plan import SpawnPlan


def visible(plan: SpawnPlan) -> dict[str, Any]:
    """The plan as it is shown and kept (CONTRACT §3.4): no secrets in it."""
    env = {name: _shown_variable(name, chosen) for name, chosen in plan.env.items()}
    return {
        "task": plan.task,
        "executor": _shown(plan.executor.value, plan.executor),
        "model": _shown(plan.model.value, plan.model),
        "endpoint": _shown(plan.endpoint.value, plan.endpoint),
        "working_dir": _shown(plan.working_dir.value, plan.working_dir),
        "account": _shown(plan.account.value, plan.account),
        "permissions": _shown(plan.permissions.value, plan.permissions),
        "argv": _shown(list(map(mask_passwords, plan.argv.value)), plan.argv),
        "env": env,
        "stdin": _shown(plan.stdin.value, plan.stdin),
        "stream": _shown(plan.stream.value, plan.stream),
        "timeout_s": _shown(float(plan.timeout_s.value), plan.timeout_s),
        "sandbox": _shown(plan.sandbox.value, plan.sandbox),
        "network": _shown(plan.network.value, plan.network),
        "problems": list(plan.problems),
    }


def log_line(plan: SpawnPlan, agent: str) -> str:
    """The one line that the log has for each spawn."""
    words = [
        f"{what}={_for_log(chosen)}"
        for what, chosen in (
            ("executor", plan.executor),
            ("model", plan.model),
            ("endpoint", plan.endpoint),
        )
    ]
    return " ".join((agent, *words))


def _for_log(chosen: Chosen[Any]) -> str:
    if chosen.value is not None:
        return f"{mask_passwords(chosen.value)} ({chosen.source})"
    if chosen.source.startswith("none "):
        return chosen.source
    return f"none ({chosen.source})"


def _shown_variable(name: str, chosen: Chosen[str]) -> dict[str, Any]:
    secret = is_secret(name) and chosen.value
    return _shown(MASK if secret else chosen.value, chosen)


def _shown(value: object, chosen: Chosen[Any]) -> dict[str, Any]:
    shown = mask_passwords(value) if isinstance(value, str) else value
    return {"value": shown, "source": chosen.source}

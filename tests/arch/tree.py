"""The source tree as the architecture tests see it: each check names what breaks it.

A check is a function of a folder that holds `workgraph/`, and gives what is wrong with
it, so that the tests of the tests can ask it about a copy with a defect planted in it.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 450

_STATUS_WRITE = re.compile(
    r"\bupdate\s+tasks\b.*?\bset\b(.*?)(\bwhere\b|$)", re.S | re.I
)
_SETS_STATUS = re.compile(r"(^|,)\s*\"?status\"?\s*=", re.I)
_INSERTS_STATUS = re.compile(r"\binto\s+tasks\s*\(([^)]*)\)", re.S | re.I)
_SQL = re.compile(
    r"\s*(select\s.+\sfrom\s|insert\s+(or\s+\w+\s+)?into\s|update\s+\w+\s+set\s"
    r"|delete\s+from\s|create\s+(table|index)\s|pragma\s+\w|begin\s+immediate)",
    re.S | re.I,
)


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package: its path below the root, and its tree."""
    for file in sorted((root / "workgraph").rglob("*.py")):
        yield str(file.relative_to(root)), _parse(file.read_text("utf-8"))


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def status_written_elsewhere(root: Path) -> list[str]:
    """A task's status changes in one statement, used by one function."""
    found = [
        f"{where}: {name}"
        for where, tree in modules(root)
        for name, text in _texts(tree)
        if any(_SETS_STATUS.search(match[1]) for match in _STATUS_WRITE.finditer(text))
        or any("status" in match[1] for match in _INSERTS_STATUS.finditer(text))
    ]
    allowed = {
        "workgraph/store/writes.py: CHANGE_STATUS",
        # An import writes rows as they were, in the one transaction that makes them.
        "workgraph/store/transfer.py: INSERT_TASK",
    }
    used = [
        f"{where}: {name}"
        for where, tree in modules(root)
        for name, function in _functions(tree)
        if any(
            isinstance(node, ast.Name) and node.id == "CHANGE_STATUS"
            for node in ast.walk(function)
        )
    ]
    return [place for place in found if place not in allowed] + [
        place for place in used if place != "workgraph/store/writes.py: change_status"
    ]


def sql_outside_store(root: Path) -> list[str]:
    """Only `store/` holds SQL."""
    return [
        f"{where}: {name}"
        for where, tree in modules(root)
        if not where.startswith("workgraph/store/")
        for name, text in _texts(tree)
        if _SQL.match(text)
    ]


def starts_of_processes(root: Path) -> list[str]:
    """Agents are started in one place; gates in another; nothing else starts any."""
    return _unexpected(
        root,
        {"create_subprocess_exec", "create_subprocess_shell"},
        {
            "workgraph/agents/process.py": 1,
            "workgraph/daemon/gates.py": 1,
        },
    )


def makers_of_plans(root: Path) -> list[str]:
    """What runs is decided in `plan_spawn` and nowhere else."""
    return _unexpected(root, {"SpawnPlan"}, {"workgraph/agents/plan.py": 1})


def makers_of_orders(root: Path) -> list[str]:
    """What is launched comes from a plan; the shell's probe is no agent."""
    return _unexpected(
        root,
        {"LaunchOrder"},
        {"workgraph/agents/ends.py": 1, "workgraph/daemon/planned.py": 1},
    )


def long_modules(root: Path) -> list[str]:
    """A module that long has more than one reason to change."""
    return [
        f"{file.relative_to(root)}: {count} lines"
        for file in sorted((root / "workgraph").rglob("*.py"))
        if (count := len(file.read_text("utf-8").splitlines())) > MOST_LINES
    ]


CHECKS: tuple[Callable[[Path], list[str]], ...] = (
    status_written_elsewhere,
    sql_outside_store,
    starts_of_processes,
    makers_of_plans,
    makers_of_orders,
    long_modules,
)


def _unexpected(root: Path, names: set[str], allowed: dict[str, int]) -> list[str]:
    found = {}
    for where, tree in modules(root):
        count = sum(
            _called(node) in names
            for node in _nodes(tree)
            if isinstance(node, ast.Call)
        )
        if count:
            found[where] = count
    return [] if found == allowed else [f"{found}, not {allowed}"]


@cache
def _nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """All that a module has in it: walking is what takes longest."""
    return tuple(ast.walk(tree))


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


@cache
def _texts(tree: ast.Module) -> tuple[tuple[str, str], ...]:
    return tuple(_find_texts(tree))


def _find_texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """All texts but docstrings, with the name of the constant or function around."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        )
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else " x "
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if id(node) not in docs:
                yield _name_of(statement), text


def _name_of(statement: ast.stmt) -> str:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.ClassDef(name=name):
            return name
        case _:
            return f"line {statement.lineno}"


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in _nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node

"""Writing: one key of a file at a time, and the file that `wg init` starts with."""

import os
from pathlib import Path
from typing import Any, Final

from workgraph.graph.errors import UsageError, UserError, system_refusal
from workgraph.settings.layers import (
    Value,
    build,
    current_name,
    parse_layer,
    parse_value,
    read_text,
    to_plain,
    toml_text,
)
from workgraph.settings.schema import (
    KEYS,
    NAMED_TABLES,
    SECTIONS,
    Json,
    Key,
    find_key,
    nearest_key,
)

_PREAMBLE: Final = """\
# The settings of this project. Every line is a comment: the values are the defaults;
# uncomment a table's name and a line to change it. What is set here goes before the
# user's file ($XDG_CONFIG_HOME/workgraph/config.toml).
"""
_EXAMPLES: Final = """\
# An executor as data; or settings of a built-in one.
# [executors.NAME]
# argv = ["tool", "--model", "{model}", "{prompt_file}"]  # no shell line
# prompt = "stdin"  # stdin, file or argument
# stream = "text"  # text, claude, codex, gemini or opencode
# env = ["TOOL_*"]  # what it needs of the environment (globs)
# needs_endpoint = false  # whether it talks to one of the endpoints

# What a model's tokens cost, where the client does not say: USD for a million.
# [prices."model-*"]  # a model's name, or a glob
# input = 3.0
# cached = 0.3
# output = 15.0

# A model service, for executors that need an endpoint; as many tables as there are.
# [[endpoints]]
# name = "local"  # what --endpoint names
# url = "http://127.0.0.1:8080/v1"  # http or https
# api_key_env = "LOCAL_KEY"  # the variable that holds its key
# default = false  # the one that is taken when nobody names one
"""


def set_value(file: Path, key: str, text: str, *, beneath: Path | None = None) -> None:
    """Writes one key, keeping all comments and the order; all of the file or nothing.

    Args:
        text: The value as the command line gives it: TOML, or a bare string.
        beneath: The file whose values this one's lie over; asked when the new value
            has to go together with others.

    Raises:
        UsageError: There is no such key, or it can't have that value.
        UserError: The file is broken, can't be written, or would contradict itself.
    """
    name = current_name(key.strip())
    found = find_key(name)
    if found is None:
        message = f"there is no setting {key}"
        raise UsageError(message, hint=nearest_key(name))
    value = parse_value(text, found)
    old = read_text(file)
    parse_layer(old, str(file), "local")
    new = _replaced(old, name, to_plain(value))
    written = parse_layer(new, str(file), "local")
    if name not in written or written[name].value != value:
        message = f"{file}: {name} can't be set in this file's layout"
        raise UserError(message, hint=f"write {name} = {toml_text(value)} by hand")
    under = parse_layer(read_text(beneath), str(beneath), "global") if beneath else {}
    defaults = {
        k.name: Value(layer="default", file=None, value=k.default)
        for k in KEYS.values()
    }
    build({name: (value,) for name, value in (defaults | under | written).items()})
    try:
        _write_whole(file.resolve(), new)
    except OSError as error:
        what = f"{file} can't be written"
        hint = "check the folder and its permissions"
        unknown = UserError(f"{what}: {error.strerror}", hint=hint)
        raise system_refusal(error, what) or unknown from error


def default_config_text() -> str:
    """The config.toml that `wg init` writes: every setting, every line a comment."""
    parts = [_PREAMBLE]
    for section in SECTIONS:
        keys = [k for k in KEYS.values() if k.name.startswith(f"{section}.")]
        lines = [f"# [{section}]", *map(_default_line, keys)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join((*parts, _EXAMPLES))


def _default_line(key: Key) -> str:
    name = key.name.partition(".")[2]
    return f"# {name} = {toml_text(key.default)}  # {key.about}"


def _replaced(text: str, name: str, plain: Json) -> str:
    # 30 ms to import, and only this function needs it.
    import tomlkit  # noqa: PLC0415
    from tomlkit.items import AoT  # noqa: PLC0415

    document = tomlkit.parse(text)
    if name == "endpoints":
        tables = AoT([tomlkit.item(endpoint) for endpoint in plain])
        document.pop(name, None)
        document.append(name, tables if plain else tomlkit.array())
        return tomlkit.dumps(document)
    table, _, rest = name.partition(".")
    tables_on_the_way = [table]
    if table in NAMED_TABLES:
        inner, _, rest = rest.rpartition(".")
        tables_on_the_way.append(inner)
    container: Any = document
    for step, part in enumerate(tables_on_the_way, start=1):
        if part not in container:
            is_super = step < len(tables_on_the_way)
            container[part] = tomlkit.table(is_super_table=is_super)
        container = container[part]
    container[rest] = plain
    return tomlkit.dumps(document)


def _write_whole(file: Path, text: str) -> None:
    """Replaces a file in one step: a crash leaves the old one or the new one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o7777 if file.exists() else 0o600
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

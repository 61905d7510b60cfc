"""Loading: every layer's say, kept apart, so that the source of a value can be named.

Built-in defaults lie under the user's file, that one under the project's, and `--set`
over all, key by key; a list is one key and is replaced whole. The environment sets
nothing, and paths are the caller's.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from workgraph.graph.errors import UsageError, UserError
from workgraph.graph.times import Duration, format_duration
from workgraph.settings.schema import (
    KEYS,
    NAMED_TABLES,
    SECTIONS,
    ExecutorSettings,
    Json,
    Key,
    Layer,
    PriceSettings,
    Section,
    Settings,
    find_key,
    nearest_key,
)

#: Tables that are read under another name, with a warning.
_OLD_NAMES: Final = MappingProxyType({"agent": "dispatcher"})


class Value(Section, frozen=True):
    """What one layer says about one key."""

    layer: Layer
    file: str | None
    value: Any
    line: int | None = None

    @property
    def place(self) -> str:
        """Where it was set, as messages name it."""
        if self.file is None:
            return self.layer
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Item(Section, frozen=True):
    """One line of `wg config list`: the value as JSON and TOML have it."""

    key: str
    value: Any
    layer: Layer
    file: str | None


class Layered(Section, frozen=True):
    """The settings with every layer's say, from the lowest layer to the highest."""

    settings: Settings
    values: Mapping[str, tuple[Value, ...]]
    warnings: tuple[str, ...] = ()

    def effective(self, key: str) -> Value:
        """The value that holds, with its layer, file and line.

        Raises:
            UsageError: There is no such key.
        """
        values = self.values.get(key)
        if not values:
            if find_key(key) is not None:
                return Value(layer="default", file=None, value=None)
            raise UsageError(f"there is no setting {key}", hint=nearest_key(key))
        return values[-1]

    def get(self, key: str) -> Json:
        """The value that holds, typed."""
        return self.effective(key).value

    def origin(self, key: str) -> tuple[Layer, str | None]:
        """The layer that the value comes from, and its file."""
        value = self.effective(key)
        return value.layer, value.file

    def layer_value(self, layer: Layer, key: str) -> Json:
        """What one layer alone says; null when it says nothing."""
        for value in self.values.get(key, ()):
            if value.layer == layer:
                return value.value
        return None

    def items(self) -> tuple[Item, ...]:
        """Every key with what holds and where it comes from."""
        return tuple(
            Item(key=key, value=to_plain(v.value), layer=v.layer, file=v.file)
            for key, values in self.values.items()
            for v in values[-1:]
        )


def load_settings(
    project_file: Path | None, user_file: Path | None, overrides: Sequence[str] = ()
) -> Layered:
    """Reads the layers; a file that is not there says nothing.

    Args:
        overrides: `KEY=VALUE` as `--set` takes them; the last one of a key holds.

    Raises:
        UserError: A file can't be read, or says something that is not a setting.
        UsageError: An override names no setting, or not a value for it.
    """
    warnings: list[str] = []
    values = {
        key.name: [Value(layer="default", file=None, value=key.default)]
        for key in KEYS.values()
    }
    layers: tuple[tuple[Layer, Path | None], ...] = (
        ("global", user_file),
        ("local", project_file),
    )
    for layer, file in layers:
        if file is not None:
            for key, value in parse_layer(
                read_text(file), str(file), layer, warnings
            ).items():
                values.setdefault(key, []).append(value)
    for key, value in _parse_overrides(overrides).items():
        values.setdefault(key, []).append(value)
    held = {key: tuple(stack) for key, stack in values.items()}
    return Layered(settings=build(held), values=held, warnings=tuple(warnings))


def parse_layer(
    text: str, file: str, layer: Layer, warnings: list[str] | None = None
) -> dict[str, Value]:
    """What one file says, checked key by key. Pure.

    Raises:
        UserError: It is not TOML, or a key or value is not one of the settings'.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = int(line[1]) if line else text.rstrip().count("\n") + 1
        raise UserError(
            f"{file}:{where}: this is not TOML: {error}", hint="mend that line"
        ) from error
    values: dict[str, Value] = {}
    for path, raw in _flatten(data):
        line_number = find_line(text, path)
        where_text = f"{file}:{line_number}"
        if path[0] in _OLD_NAMES and warnings is not None:
            new = _OLD_NAMES[path[0]]
            warning = f"{file}: [{path[0]}] is the old name of [{new}]: rename it"
            if warning not in warnings:
                warnings.append(warning)
        name = current_name(".".join(path))
        key = find_key(name)
        if key is None:
            raise UserError(
                f"{where_text}: there is no setting {'.'.join(path)}",
                hint=nearest_key(name),
            )
        try:
            value = convert(raw, key)
        except ValueError as error:
            raise UserError(
                f"{where_text}: {name} = {toml_text(raw)}: {error}", hint=help_for(key)
            ) from error
        values[name] = Value(layer=layer, file=file, value=value, line=line_number)
    return values


def parse_value(text: str, key: Key) -> Json:
    """Reads a value as the command line gives it: TOML, else a bare string. Pure.

    Raises:
        UsageError: It is not a value for the key.
    """
    try:
        raw = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        raw = {}
    found = raw["value"] if raw.keys() == {"value"} else text
    try:
        return convert(found, key)
    except ValueError as error:
        try:
            return convert(text, key)
        except ValueError:
            message = f"{text!r} is not a value for this setting: {error}"
            raise UsageError(message, hint=help_for(key)) from error


def convert(raw: object, key: Key) -> Json:
    """A raw value as its key's type.

    Raises:
        ValueError: It is none, said in one line.
    """
    if isinstance(raw, float) and not math.isfinite(raw):
        message = "expected a finite number"
        raise ValueError(message)
    try:
        value = msgspec.convert(raw, key.type, dec_hook=_decode_duration)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "")
        raise ValueError(text[0].lower() + text[1:]) from error
    if key.name == "endpoints":
        names = [endpoint.name for endpoint in value]
        if len(set(names)) < len(names):
            message = "two endpoints have the same name"
            raise ValueError(message)
    return value


def help_for(key: Key) -> str:
    """What a key means and what it is when nobody sets it."""
    choices = _choices(key.type)
    words = f"one of {', '.join(choices)}; " if choices else ""
    default = "" if key.default is None else f" (default {toml_text(key.default)})"
    return f"{key.name}: {words}{key.about}{default}"


def to_plain(value: object) -> Json:
    """A typed value as TOML and JSON have it."""
    if isinstance(value, Duration):
        return format_duration(value)
    plain = msgspec.to_builtins(value)
    return list(plain) if isinstance(plain, tuple) else plain


def toml_text(value: object) -> str:
    """A value as one writes it in TOML, on one line."""
    plain = to_plain(value)
    if isinstance(plain, dict):
        inner = ", ".join(f"{name} = {toml_text(v)}" for name, v in plain.items())
        return f"{{ {inner} }}"
    if isinstance(plain, list | tuple):
        return f"[{', '.join(toml_text(v) for v in plain)}]"
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    return msgspec.json.encode(plain).decode()


def find_line(text: str, path: Sequence[str]) -> int:
    """The line, from 1, on which the longest part of a dotted path is written."""
    wanted = tuple(path)
    table: tuple[str, ...] = ()
    best, best_line, in_string = 0, 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        was_in_string = in_string
        if (line.count('"""') + line.count("'''")) % 2:
            in_string = not in_string
        if was_in_string:
            continue
        if header := re.match(r"\s*\[+([^\[\]]+)\]", line):
            table = here = _split(header[1])
        elif entry := re.match(r"\s*((?:\"[^\"]*\"|'[^']*'|[\w.\s-])+?)\s*=", line):
            here = table + _split(entry[1])
        else:
            continue
        same = len(here) if here == wanted[: len(here)] else 0
        if same > best:
            best, best_line = same, number
    return best_line


def _split(dotted: str) -> tuple[str, ...]:
    parts = re.findall(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)", dotted)
    return tuple("".join(part) for part in parts)


def read_text(file: Path) -> str:
    """A file as text; empty when it is not there.

    Raises:
        UserError: It can't be read, or is not UTF-8.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"{file}:{line}: this is not UTF-8"
        raise UserError(message, hint="save the file as UTF-8") from error
    except OSError as error:
        message = f"{file}: can't be read: {error.strerror}"
        raise UserError(message, hint="check its permissions") from error


def _flatten(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key of a file with its path; a table that is none comes as a key.

    Old names come first, so that what is said under the new one holds.
    """
    for name in sorted(data, key=lambda name: name not in _OLD_NAMES):
        value = data[name]
        if name in NAMED_TABLES and isinstance(value, dict):
            for named, keys in value.items():
                if not isinstance(keys, dict):
                    yield (name, named), keys
                    continue
                for key, inner in keys.items():
                    yield (name, named, key), inner
        elif _OLD_NAMES.get(name, name) in SECTIONS and isinstance(value, dict):
            for key, inner in value.items():
                yield (name, key), inner
        else:
            yield (name,), value


def _parse_overrides(overrides: Sequence[str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for override in overrides:
        given, separator, text = override.partition("=")
        name = current_name(given.strip())
        key = find_key(name)
        if not separator:
            message = f"--set {override}: this is not KEY=VALUE"
            raise UsageError(message, hint="for example --set dispatcher.max_agents=8")
        if key is None:
            message = f"--set {override}: there is no setting {given.strip()}"
            raise UsageError(message, hint=nearest_key(name))
        value = parse_value(text.strip(), key)
        values[name] = Value(layer="command line", file=None, value=value)
    return values


def current_name(name: str) -> str:
    """A dotted key with the old name of its table replaced, and without quotes."""
    table, dot, rest = name.replace('"', "").partition(".")
    return f"{_OLD_NAMES.get(table, table)}{dot}{rest}"


def build(values: Mapping[str, Sequence[Value]]) -> Settings:
    """The settings that hold, from the layers; checks what involves several keys.

    Raises:
        UserError: Two values contradict each other.
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    named: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in NAMED_TABLES}
    for name, stack in values.items():
        if name == "endpoints":
            continue
        table, _, key = name.partition(".")
        if table in NAMED_TABLES:
            inner, _, key = key.rpartition(".")
            named[table].setdefault(inner, {})[key] = stack[-1].value
        else:
            sections[table]["pass_" if key == "pass" else key] = stack[-1].value
    tables: dict[str, Any] = {
        name: SECTIONS[name](**keys) for name, keys in sections.items()
    }
    settings = Settings(
        **tables,
        executors={
            name: ExecutorSettings(**keys) for name, keys in named["executors"].items()
        },
        prices={name: PriceSettings(**keys) for name, keys in named["prices"].items()},
        endpoints=values["endpoints"][-1].value,
    )
    agency = settings.agency
    if agency.reward_gate == "enforcing" and agency.auto_reward == "off":
        where = values["agency.reward_gate"][-1].place
        message = (
            f'{where}: agency.reward_gate = "enforcing" with agency.auto_reward = "off"'
            ": nothing would ever pass"
        )
        hint = 'set agency.auto_reward to "checks" or "actor" first'
        raise UserError(message, hint=hint)
    return settings


def _choices(hint: Any) -> tuple[str, ...]:  # noqa: ANN401 - a type of typing's
    """The words that a key's type allows; none where it is no enumeration."""
    parts = get_args(hint)
    if get_origin(hint) is Literal:
        return parts
    return tuple(word for part in parts for word in _choices(part))


def _decode_duration(wanted: type, raw: object) -> object:
    if wanted is Duration and isinstance(raw, str):
        try:
            return Duration.parse(raw)
        except UsageError as error:
            raise ValueError(error.message) from error
    message = "expected a duration such as 90s, 30m or 2h"
    raise ValueError(message)

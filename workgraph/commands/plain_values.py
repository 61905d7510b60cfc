"""How plain values are read: as typer reads them, but without what it imports for that.

Typer has pydantic judge each value, which takes a tenth of a second to import for each
call. Texts, whole numbers and words of a list need no judge; what is anything else, or
wrong, is left to typer, whose words the errors are.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

from typer._click.core import Context, Parameter
from typer.core import TyperArgument, TyperOption

#: Longer numbers are seldom meant, and have limits of their own.
_DIGITS: Final = 9
_UNREAD: Final = object()


def read_plainly(parameters: Iterable[Parameter]) -> None:
    """Has the values of parameters read here first, where typer has not begun to."""
    for parameter in parameters:
        if not isinstance(parameter, TyperArgument | TyperOption):
            continue
        # typer's place for what reads a value; were it gone, typer would read it all
        if getattr(parameter, "_runtime_param", _UNREAD) is None:
            parameter._runtime_param = _Plain()  # type: ignore[assignment] # noqa: SLF001


class _Plain:
    """What typer asks to read a value; it is asked nothing else."""

    def coerce(
        self, value: object, param: TyperArgument | TyperOption, ctx: Context
    ) -> object:
        """The value as the command takes it."""
        read = plain_value(value, param)
        if read is not _UNREAD:
            return read
        return typers_value(value, param, ctx)


def typers_value(
    value: object, param: TyperArgument | TyperOption, ctx: Context
) -> object:
    """What typer reads.

    Raises:
        BadParameter: It is none of the parameter's values.
    """
    param._runtime_param = None  # noqa: SLF001 - it makes its own
    return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def plain_value(value: object, param: TyperArgument | TyperOption) -> Any:  # noqa: ANN401
    """A value that needs no judge, as typer would read it; else a mark (`is_read`)."""
    many = param.multiple or param.nargs == -1
    if value is None:
        return () if many else None
    annotation: object = param.type_descriptor.annotation
    if param.type_descriptor.parameter_info.parser is not None:
        return _UNREAD
    if not many:
        return _read(value, annotation, param)
    if get_origin(annotation) is not list or not isinstance(value, list | tuple):
        return _UNREAD
    (kind,) = get_args(annotation)
    read = [_read(one, kind, param) for one in value]
    return _UNREAD if any(one is _UNREAD for one in read) else read


def is_read(value: object) -> bool:
    """Whether `plain_value` has found one."""
    return value is not _UNREAD


def _read(value: object, kind: object, param: TyperArgument | TyperOption) -> object:
    if not isinstance(value, str):
        return _UNREAD
    if kind is str:
        return value
    if kind is int:
        return _number(value, param)
    return _words(kind).get(value, _UNREAD)


def _number(text: str, param: TyperArgument | TyperOption) -> object:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        return _UNREAD
    info = param.type_descriptor.parameter_info
    number = int(text)
    low = info.min is None or number >= info.min
    high = info.max is None or number <= info.max
    return number if low and high else _UNREAD


def _words(kind: object) -> Mapping[str, object]:
    if get_origin(kind) is Literal:
        return {word: word for word in get_args(kind) if isinstance(word, str)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {one.value: one for one in kind if isinstance(one.value, str)}
    return {}

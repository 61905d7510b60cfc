"""Secrets that an agent has printed, taken out of what the daemon copies. Pure.

Two kinds are known: the values that agents are given in variables whose names tell a
secret, and what has the form of a well-known service's key, of an attempt's token, of
a private key, or of a password in a URL.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from workgraph.agents.environment import MASK, is_secret

#: What begins the token of every attempt, so that it is told wherever it turns up.
TOKEN_PREFIX: Final = "wgt_"  # noqa: S105 - not one
#: A shorter value is a word like any other: masking it would say what it was.
_SHORTEST: Final = 8

# Each begins with a literal, which the search for it makes use of: 8 MiB take 20 ms.
_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        TOKEN_PREFIX + r"[\w-]{32}",
        r"sk-(?:ant|proj|or|svcacct)-[\w-]{20,}",
        r"sk-[A-Za-z0-9]{32,}",
        r"gh[pousr]_[A-Za-z0-9]{36,}",
        r"github_pat_\w{40,}",
        r"glpat-[\w-]{20,}",
        r"xox[abeoprs]-[\w-]{20,}",
        r"AKIA[0-9A-Z]{16}\b",
        r"AIza[\w-]{35}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*-----)?",
    )
)
_PASSWORD: Final = re.compile(r"(://[^/@\s:]*:)[^/@\s]+@")


def secrets_in(
    env: Mapping[str, str], *, named: Collection[str] = ()
) -> tuple[str, ...]:
    """The values in an environment that nobody is to see, the longest first.

    Args:
        env: Any.
        named: Names of secrets that don't look like it.
    """
    found = {
        value
        for name, value in env.items()
        if (is_secret(name) or name in named) and len(value) >= _SHORTEST
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without secrets: `***` stands in the place of each."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for form in _FORMS:
        text = form.sub(MASK, text)
    return _PASSWORD.sub(rf"\g<1>{MASK}@", text)

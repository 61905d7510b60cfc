import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workgraph.agents.redact import redact, secrets_in

LONG = "a" * 40


def test_the_values_of_secret_variables_are_secrets() -> None:
    """By the variable's name, or by being named; short ones are words."""
    env = {
        "OPENAI_API_KEY": "correct-horse",
        "PATH": "/usr/bin:/bin",
        "DB_PASSWORD": "short",
        "MY_CREDENTIALS": "correct-horse-battery",
        "LOCAL": "of-an-endpoint",
    }

    found = secrets_in(env, named={"LOCAL"})

    assert found == ("correct-horse-battery", "of-an-endpoint", "correct-horse")


def test_every_occurrence_is_masked_the_longest_first() -> None:
    """A secret that begins another one does not leave its rest."""
    secrets = secrets_in({"A_KEY": "12345678", "B_KEY": "1234567890"})

    said = redact("x1234567890y 12345678\n1234567890", secrets)

    assert said == "x***y ***\n***"


@pytest.mark.parametrize(
    "secret",
    [
        "wgt_" + "Ab-_" * 8,
        "sk-ant-api03-" + LONG,
        "sk-proj-" + LONG,
        "sk-" + LONG,
        "ghp_" + LONG,
        "github_pat_" + LONG,
        "glpat-" + LONG,
        "xoxb-" + LONG,
        "AKIAIOSFODNN7EXAMPLE",
        "AIza" + "b" * 35,
        "-----BEGIN RSA PRIVATE KEY-----\nabc\ndef=\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_forms_of_keys_are_masked_whoever_gave_them(secret: str) -> None:
    """Those that can be told from anything else."""
    assert redact(f"before {secret} after") == "before *** after"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hunter2@example.com/x", "https://me:***@example.com/x"),
        ("git clone ssh://git@example.com/x", "git clone ssh://git@example.com/x"),
        ("http://example.com/a:b@c", "http://example.com/a:b@c"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    """Users and paths are not."""
    assert redact(url) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn is a library, task-forced-to-be-very-long-indeed",
        "risk-assessment-of-something-that-has-many-words-in-its-name",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "BEGIN PRIVATE KEY",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Words with dashes, hashes."""
    assert redact(text, ("another",)) == text


@given(st.text(), st.lists(st.text(min_size=8), max_size=4))
def test_no_secret_is_left(text: str, values: list[str]) -> None:
    """Whatever stands around it."""
    secrets = secrets_in({f"KEY_{n}": value for n, value in enumerate(values)})
    said = redact("".join([text, *values, text]), secrets)

    # `***` may complete a value that has it in itself, which tells nothing
    assert not [one for one in secrets if one in said and "*" not in one]


@pytest.mark.parametrize(
    "piece", ["://a:", "://", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "sk-ant-"]
)
def test_no_text_takes_long(piece: str) -> None:
    """Nobody slows the daemon down by what it prints: the time grows with the size."""
    text = piece * ((1 << 20) // len(piece))

    began = time.thread_time()
    redact(text, ("12345678",))

    assert time.thread_time() - began < 5

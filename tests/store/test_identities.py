"""Roles, tradeoffs and actors in the database: how they are found, and what is kept."""

import sqlite3
from collections.abc import AsyncGenerator
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workgraph.graph.errors import NotFoundError, UserError
from workgraph.graph.identity import actor_id, role_id, tradeoff_id
from workgraph.graph.model import Actor, Lineage, Role
from workgraph.store import identities as kept
from workgraph.store.database import Store, Tx

NOW = 1_700_000_000_000_000


@pytest.fixture
async def store() -> AsyncGenerator[Store]:
    """A graph with nothing in it."""
    opened = await Store.open(":memory:")
    yield opened
    await opened.close()


def an_actor(name: str, id_: str = "", **changes: object) -> Actor:
    """An actor; its id is made up where one is given."""
    actor = Actor(id=id_ or actor_id(name=name), name=name)
    return msgspec.structs.replace(actor, **changes)


def ids_that_begin(*beginnings: str) -> list[str]:
    """Ids of 64 digits."""
    return [beginning.ljust(64, "0") for beginning in beginnings]


async def test_an_actor_is_found_by_its_name_or_the_beginning_of_its_id(
    store: Store,
) -> None:
    """In either case of the digits; a name comes before digits that look like it."""
    first, second = ids_that_begin("ab12", "ab34")

    def job(tx: Tx) -> list[str]:
        kept.keep(tx, an_actor("ann", first))
        kept.keep(tx, an_actor("ab1", second))
        texts = ("ann", "ab12", "AB12", first, "ab1", "ab3")
        return [kept.find_actor(tx, text).name for text in texts]

    found, _ = await store.transaction(job, NOW)

    assert found == ["ann", "ann", "ann", "ann", "ab1", "ab1"]


async def test_what_several_ids_begin_with_names_none(store: Store) -> None:
    """The error lists them, with more digits than were said."""
    first, second = ids_that_begin("ab12345678", "ab123456fe")

    def job(tx: Tx) -> None:
        kept.keep(tx, an_actor("ann", first))
        kept.keep(tx, an_actor("bob", second))
        kept.find_actor(tx, "ab123456")

    with pytest.raises(UserError, match="ab12345678 ann, ab123456fe bob"):
        await store.transaction(job, NOW)


async def test_who_is_not_there_is_offered_the_nearest(store: Store) -> None:
    """By its name; an id of another kind is none."""
    role = Role(
        id=role_id(description="d", skills=(), outcome=""), name="r", description="d"
    )

    def job(tx: Tx) -> list[str]:
        kept.keep(tx, an_actor("programmer"))
        kept.keep(tx, role)
        hints = []
        for text in ("programer", "x" * 99, role.id, ""):
            with pytest.raises(NotFoundError) as caught:
                kept.find_actor(tx, text)
            hints.append(caught.value.hint)
        return hints

    hints, _ = await store.transaction(job, NOW)

    assert hints == ["did you mean programmer?", *["wg actor list"] * 3]


async def test_what_is_retired_is_found_only_where_that_is_meant(
    store: Store,
) -> None:
    """By what it was called last, where nobody bears the name now; by its id."""
    old, new = ids_that_begin("11aa", "22bb")

    def job(tx: Tx) -> list[tuple[str, int | None]]:
        kept.keep(tx, an_actor("ann", old))
        kept.retire(tx, old)
        with pytest.raises(NotFoundError):
            kept.find_actor(tx, "ann")
        with pytest.raises(NotFoundError):
            kept.find_actor(tx, "11aa")
        found = [kept.find_kept(tx, Actor, "ann")]
        kept.keep(tx, an_actor("ann", new))
        found += [kept.find_kept(tx, Actor, text) for text in ("ann", "11aa")]
        return [(one.identity.id, one.retired_at) for one in found]

    found, _ = await store.transaction(job, NOW)

    assert found == [(old, NOW), (new, None), (old, NOW)]


async def test_what_is_kept_again_is_in_use_again(store: Store) -> None:
    """With what an import brought that we have no field for."""
    ann = an_actor("ann", skills=("a",))

    def job(tx: Tx) -> tuple[Actor, str]:
        record = msgspec.to_builtins(ann) | {"metadata": {"x": 1}}
        text = msgspec.json.encode(record).decode()
        tx.run(kept.INSERT_IDENTITY, (ann.id, "actor", "ann", text))
        kept.retire(tx, ann.id)
        kept.keep(tx, msgspec.structs.replace(ann, skills=("b",)))
        raw: str = tx.value("select record from identities where id = ?", (ann.id,))
        return kept.find_actor(tx, "ann"), raw

    (found, raw), _ = await store.transaction(job, NOW)

    assert found.skills == ("b",)
    assert msgspec.json.decode(raw)["metadata"] == {"x": 1}


async def test_a_living_name_is_there_once(store: Store) -> None:
    """The database itself sees to it."""
    first, second = ids_that_begin("11", "22")

    def job(tx: Tx) -> None:
        kept.keep(tx, an_actor("ann", first))
        kept.retire(tx, first)
        kept.keep(tx, an_actor("ann", second))
        kept.keep(tx, an_actor("bob", first))
        kept.keep(tx, an_actor("ann", first))

    with pytest.raises(sqlite3.IntegrityError):
        await store.transaction(job, NOW)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ann", "ann"),
        ("adafeed1", "ann"),
        ("adafeed1" + "0" * 56, "ann"),
        ("ada", "ada"),
        ("adaf", "adaf"),
        ("bead", "bead"),
        ("1bad", "bob"),
        ("1ba", "1ba"),
        ("1bae", "1bae"),
        ("bob", "bob"),
        ("carol", "carol"),
    ],
)
async def test_where_any_name_is_good_digits_have_to_look_like_an_id(
    store: Store, text: str, meant: str
) -> None:
    """Ada, Abe and Bea keep their names, whatever ids there are."""
    first, second = ids_that_begin("adafeed1", "1bad")

    def job(tx: Tx) -> str:
        kept.keep(tx, an_actor("ann", first))
        kept.keep(tx, an_actor("bob", second))
        return kept.actor_name(tx, text)

    assert (await store.transaction(job, NOW))[0] == meant


@settings(max_examples=40, deadline=None)
@given(st.sets(st.text("01ab", min_size=1, max_size=5), min_size=1), st.data())
async def test_a_beginning_finds_the_one_that_has_it(
    beginnings: set[str], data: st.DataObject
) -> None:
    """Where there are several, all of them are named, and none is taken."""
    whole = sorted(beginning.ljust(64, "f") for beginning in beginnings)
    ids = {one: f"n{number:03}" for number, one in enumerate(whole)}
    id_ = data.draw(st.sampled_from(sorted(ids)))
    said = id_[: data.draw(st.integers(1, 64))]
    wanted = sorted(name for other, name in ids.items() if other.startswith(said))

    def job(tx: Tx) -> list[str]:
        for one, name in ids.items():
            kept.keep(tx, an_actor(name, one))
        try:
            return [kept.find_actor(tx, said).name]
        except UserError as error:
            return sorted(name for name in ids.values() if f" {name}" in error.message)

    opened = await Store.open(":memory:")
    try:
        found, _ = await opened.transaction(job, NOW)
    finally:
        await opened.close()

    assert found == wanted if len(wanted) <= 8 else len(found) >= 8


async def test_the_bearers_of_a_role_are_living_actors(store: Store) -> None:
    """Of a tradeoff just so, by name."""
    role, other = ids_that_begin("aa", "bb")

    def job(tx: Tx) -> tuple[list[str], list[str]]:
        kept.keep(tx, an_actor("zoe", role=role))
        kept.keep(tx, an_actor("ann", role=role, tradeoff=other))
        kept.keep(tx, an_actor("bob", tradeoff=role))
        gone = an_actor("eve", role=role)
        kept.keep(tx, gone)
        kept.retire(tx, gone.id)
        return kept.bearers(tx, role), kept.bearers(tx, other)

    found, _ = await store.transaction(job, NOW)

    assert found == (["ann", "bob", "zoe"], ["ann"])


TEXTS = st.lists(st.text(max_size=5), max_size=4)


@given(st.text(max_size=5), TEXTS, TEXTS, st.randoms())
def test_the_order_of_constraints_and_skills_changes_no_id(
    text: str,
    some: list[str],
    others: list[str],
    random: Random,
) -> None:
    """Nor does saying one twice."""

    def shuffled(texts: list[str]) -> list[str]:
        again = texts + texts[:1]
        random.shuffle(again)
        return again

    one = tradeoff_id(description=text, accept=some, reject=others)
    role = role_id(description=text, skills=some, outcome=text)

    assert one == tradeoff_id(
        description=text, accept=shuffled(some), reject=shuffled(others)
    )
    assert role == role_id(description=text, skills=shuffled(some), outcome=text)


@given(st.text(max_size=5), TEXTS, TEXTS, st.text(max_size=5))
def test_one_hard_constraint_more_is_another_id(
    text: str, some: list[str], others: list[str], more: str
) -> None:
    """And so is the same one as a compromise."""
    one = tradeoff_id(description=text, accept=some, reject=others)
    another = tradeoff_id(description=text, accept=some, reject=[*others, more])
    swapped = tradeoff_id(description=text, accept=others, reject=some)

    assert (one == another) == (more in others)
    assert (one == swapped) == (set(some) == set(others))
    assert actor_id(name="a", tradeoff=one) == actor_id(name="a", tradeoff=one)
    assert (
        actor_id(name="a", tradeoff=one) == actor_id(name="a", tradeoff=another)
    ) == (one == another)


def test_a_lineage_has_defaults() -> None:
    """What was added by hand has no parents."""
    assert an_actor("a").lineage == Lineage(parents=(), generation=0, by="operator")

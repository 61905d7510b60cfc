"""Roles, tradeoffs and actors in an export: versions, lineage, what is retired."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.transfer_graph import (
    NOW,
    TITLE,
    a_graph,
    assert_round_trip,
    lines,
)
from workgraph.commands import identities
from workgraph.commands.context import Context
from workgraph.graph import identity_requests as q
from workgraph.graph.errors import ConflictError, UserError, WorkgraphError
from workgraph.graph.identity import actor_id, role_id

NAMES = st.sampled_from(["a", "b", "c"])
WORDS = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3).map(tuple)
STEPS = st.lists(
    st.one_of(
        st.builds(q.AddRole, name=NAMES, description=TITLE, skill=WORDS),
        st.builds(q.EditRole, role=NAMES, add_skill=WORDS, remove_skill=WORDS),
        st.builds(q.EditRole, role=NAMES, name=NAMES),
        st.builds(q.RemoveRole, role=NAMES),
        st.builds(q.AddTradeoff, name=NAMES, description=TITLE, accept=WORDS),
        st.builds(q.EditTradeoff, tradeoff=NAMES, add_reject=WORDS),
        st.builds(q.RemoveTradeoff, tradeoff=NAMES),
        st.builds(q.AddActor, name=NAMES, role=NAMES, human=st.booleans()),
        st.builds(q.AddActor, name=NAMES, skill=WORDS),
        st.builds(q.EditActor, actor=NAMES, role=NAMES, tradeoff=NAMES),
        st.builds(q.EditActor, actor=NAMES, name=NAMES, capacity=st.integers(1, 3)),
        st.builds(q.EditActor, actor=NAMES, role=st.just(""), trust=st.none()),
        st.builds(q.RemoveActor, actor=NAMES),
    ),
    max_size=25,
)


def _say(context: Context, request: q.IdentityWrite) -> None:
    if isinstance(request, q.Adds):
        identities.add_identity(context, request)
    elif isinstance(request, q.Edits):
        identities.edit_identity(context, request)
    elif isinstance(request, q.Removes):
        identities.remove_identity(context, request)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(STEPS)
async def test_identities_round_trip(steps: list[q.IdentityWrite]) -> None:
    """Whatever was done to them: to the byte, with an id for each content."""
    async with a_graph() as graph:
        for number, step in enumerate(steps):

            def change(context: Context, step: q.IdentityWrite = step) -> None:
                _say(context, step)

            try:
                await graph.change(change, NOW + number * 1_000_000)
            except WorkgraphError:
                continue

        rows = await assert_round_trip(graph)

    ids = {row["id"]: row for row in rows}
    assert len(ids) == len(rows)
    living = [(r["kind"], r["name"]) for r in rows if not r.get("retired_at")]
    assert len(set(living)) == len(living)
    for row in rows:
        assert set(row["lineage"]["parents"]) <= set(ids)
        for kind in ("role", "tradeoff"):
            named = row.get(kind) if row["kind"] == "actor" else None
            assert named is None or ids[named]["kind"] == kind
            if named and not row.get("retired_at"):
                # what a living actor has was in use when it took it
                assert ids[named]["name"]


async def test_a_changed_role_comes_with_what_it_was() -> None:
    """The old one is retired, the new one names it; the actor keeps the old one."""

    def prepare(context: Context) -> None:
        identities.add_identity(context, q.AddRole(name="r", description="one"))
        identities.add_identity(context, q.AddActor(name="ann", role="r"))
        edit = q.EditRole(role="r", description="two")
        identities.edit_identity(context, edit)

    async with a_graph() as graph:
        await graph.change(prepare)

        rows = await assert_round_trip(graph)

    old = role_id(description="one", skills=(), outcome="")
    by_id = {row["id"]: row for row in rows}
    assert by_id[old]["retired_at"] == "2023-11-14T22:13:20.000Z"
    [new] = [row for row in rows if row["lineage"]["parents"] == [old]]
    assert (new["name"], new["lineage"]["generation"]) == ("r", 1)
    assert "retired_at" not in new
    [ann] = [row for row in rows if row["kind"] == "actor"]
    assert ann["role"] == old


async def test_what_is_shown_as_json_comes_in() -> None:
    """With its record, which follows from the rest; no word is said of that."""

    def prepare(context: Context) -> list[dict[str, Any]]:
        add = identities.add_identity
        shown = [
            ("role", add(context, q.AddRole(name="r", description="d"))),
            ("tradeoff", add(context, q.AddTradeoff(name="t", description="d"))),
            ("actor", add(context, q.AddActor(name="a", role="r", tradeoff="t"))),
        ]
        return [
            {"kind": kind} | msgspec.to_builtins(reply.data) for kind, reply in shown
        ]

    async with a_graph() as graph, a_graph() as other:
        rows = await graph.change(prepare)

        data = await other.take(lines(*rows))

        assert (data.actors, data.warnings) == (3, ())
        assert await other.export() == await graph.export()


ANN = {"kind": "actor", "name": "ann", "skills": ["s"]}


async def test_what_is_there_stays_as_it_is() -> None:
    """Other settings, and whether it is in use, are warned about."""
    async with a_graph() as graph:
        await graph.take(lines(ANN))
        before = await graph.export()

        other = await graph.take(lines({**ANN, "skills": []}))
        gone = await graph.take(lines({**ANN, "retired_at": "2026-01-01T00:00:00Z"}))

        assert await graph.export() == before
        assert ["with other settings" in w for w in other.warnings] == [True]
        assert ["and in use" in w for w in gone.warnings] == [True]


async def test_a_name_that_is_in_use_refuses_all() -> None:
    """One that is retired, here or there, leaves its name to others."""
    role = {"kind": "role", "name": "r", "description": "one"}
    other = {**role, "description": "two"}
    late = {"retired_at": "2026-01-01T00:00:00Z"}
    async with a_graph() as graph:
        await graph.take(lines(role, other | late))
        with pytest.raises(ConflictError, match="there is another role 'r'"):
            await graph.take(lines({**role, "description": "three"}))
        assert (await graph.take(lines({**role, "description": "four"} | late))).actors
    async with a_graph() as graph:
        await graph.take(lines(role | late))
        await graph.take(lines(other))
        await assert_round_trip(graph)
        with pytest.raises(UserError, match="is in line 1 already"):
            await graph.take(lines(*({**role, "description": d} for d in ("a", "b"))))


async def test_an_id_is_that_of_its_content() -> None:
    """One that is made up is refused; one that is there with other content, too."""
    bob = {"kind": "actor", "name": "bob"}
    async with a_graph() as graph:
        await graph.take(lines({**bob, "id": actor_id(name="bob")}))
        with pytest.raises(UserError, match="is not that of what is in it"):
            await graph.take(lines({**ANN, "id": "0" * 64}))
        with pytest.raises(ConflictError, match="is another one's"):
            await graph.take(lines({**ANN, "id": actor_id(name="bob")}))


async def test_a_role_that_is_nowhere_is_warned_about() -> None:
    """Its actor comes in all the same."""
    async with a_graph() as graph:
        data = await graph.take(lines({**ANN, "role": "0" * 64}))

        assert data.actors == 1
        assert [("0" * 64) in warning for warning in data.warnings] == [True]
        await assert_round_trip_of(graph)


async def assert_round_trip_of(graph: Any) -> None:
    """As `assert_round_trip`, where importing warns."""
    first = await graph.export()
    async with a_graph() as other:
        await other.take(first)
        assert await other.export() == first

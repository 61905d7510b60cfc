"""What an import brings, gathered and checked as a whole before any of it is written.

Lines come in any order, so what one says of another is looked at when all are there:
ids against the file and the graph, dependencies, cycles, attempts, the log. The counts
that are kept with tasks (`unmet`, `chain`) are made here, for the whole set at once.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, assert_never

from msgspec import UNSET

from workgraph.commands import options
from workgraph.commands.chat_line import ChatLine, ChatMessageLine
from workgraph.commands.identity_line import ActorLine, RoleLine, TradeoffLine
from workgraph.commands.line_errors import bad_line, conflict_in, missing_task
from workgraph.commands.message_line import MessageLine
from workgraph.commands.tie_lines import LoopLine, PromptLine, TrajectoryLine
from workgraph.commands.transfer_chats import ChatBatch
from workgraph.commands.transfer_identities import IdentityBatch
from workgraph.commands.transfer_lines import (
    AgentLine,
    EdgeLine,
    Line,
    LogLine,
    TaskLine,
)
from workgraph.commands.transfer_loops import (
    check_gates,
    check_loops,
    check_outsiders,
    loop_of,
)
from workgraph.commands.transfer_messages import MessageBatch
from workgraph.commands.transfer_prompts import PromptBatch
from workgraph.commands.transfer_rewards import AgencyBatch, AgencyLine, CanaryLine
from workgraph.commands.transfer_rows import (
    agent_row,
    artifact_rows,
    consumed_rows,
    is_id,
    log_change,
    spend_rows,
    task_row,
    waits_of,
)
from workgraph.commands.transfer_trajectories import TrajectoryBatch
from workgraph.commands.transfer_waits import WaitBatch
from workgraph.commands.wait_line import WaitLine
from workgraph.graph import topology
from workgraph.graph.changes import Change, ChangeKind
from workgraph.graph.errors import UserError
from workgraph.graph.loops import GATE, Loop
from workgraph.graph.model import EdgeKind, parse_agent_id
from workgraph.graph.status import MEETS, SETTLED, Status
from workgraph.store import edges, loops, reads, transfer
from workgraph.store.database import Tx
from workgraph.store.transfer import (
    NewAgentRow,
    NewRow,
    Placed,
    StoredSpend,
)
from workgraph.store.transfer_artifacts import (
    Consumed,
    StoredArtifact,
    insert_artifacts,
    insert_consumed,
)

#: Agents' numbers go on above those that come in, so there has to be room.
HIGHEST_AGENT: Final = 10**12

#: What lies between tasks, attempts and people.
_Between = (
    MessageLine | ChatLine | ChatMessageLine | WaitLine | TrajectoryLine | LoopLine
)


class Batch:
    """All that comes in: `take` each line, `settle` once, then `write`.

    Args:
        tx: The transaction.
        by: Who imports.
    """

    def __init__(self, tx: Tx, by: str) -> None:
        self.warnings: list[str] = []
        self.log_count = 0
        self.edge_count = 0
        self._tx = tx
        self._by = by
        #: Tasks by the number of their line, which is their order.
        self._rows: dict[int, NewRow] = {}
        self._titles: dict[int, str] = {}
        self._line_of: dict[str, int] = {}
        self._waits: dict[str, dict[str, EdgeKind]] = {}
        self._artifacts: list[tuple[str, StoredArtifact]] = []
        self._unnamed: list[tuple[int, TaskLine]] = []
        self._edge_lines: list[tuple[int, EdgeLine]] = []
        #: Edges of tasks that are in the graph already.
        self._links: list[tuple[int, EdgeLine]] = []
        self._agents: dict[int, tuple[int, NewAgentRow]] = {}
        self._spend: list[StoredSpend] = []
        self._prompts = PromptBatch(tx)
        self._messages = MessageBatch(tx, by)
        self._chats = ChatBatch(tx, by)
        self._consumed: list[tuple[int, Consumed]] = []
        #: The producers of inputs, of tasks that say themselves what they wait for.
        self._producers: dict[str, list[str]] = {}
        self._trajectories = TrajectoryBatch(tx, by)
        self._wait_lines = WaitBatch(tx)
        self._agency = AgencyBatch(tx, by)
        self._log: list[tuple[int, Change]] = []
        self._loops: list[tuple[int, Loop]] = []
        self._identities = IdentityBatch(tx)
        #: Agents that something names, with the line that does.
        self._mentions: dict[str, int] = {}
        self._highest_agent = 0
        self._placed = Placed(unmet={}, chain={}, last_agent={})
        self._least_chains: dict[str, int] = {}

    @property
    def task_count(self) -> int:
        """How many tasks come in."""
        return len(self._rows)

    @property
    def identity_count(self) -> int:
        """How many actors, roles and tradeoffs come in that are not there."""
        return self._identities.count

    def take(self, number: int, line: Line) -> None:
        """Takes a line, as far as it can be judged alone."""
        match line:
            case TaskLine():
                if line.id is None:
                    self._unnamed.append((number, line))
                else:
                    self._take_task(number, line.id, line)
            case EdgeLine():
                self._edge_lines.append((number, line))
            case AgentLine():
                self._take_agent(number, line)
            case PromptLine():
                self._prompts.take(number, line)
            case LogLine():
                change = log_change(number, line, self._by, self._tx.now)
                self._log.append((number, change))
                self._mention(number, change.agent)
                self._mention(number, change.by)
            case (
                MessageLine()
                | ChatLine()
                | ChatMessageLine()
                | WaitLine()
                | TrajectoryLine()
                | LoopLine()
            ):
                self._take_between(number, line)
            case AgencyLine() | CanaryLine():
                self._agency.take(number, line)
            case ActorLine() | RoleLine() | TradeoffLine():
                self._identities.take(number, line)
            case _ as never:
                assert_never(never)

    def _take_between(self, number: int, line: _Between) -> None:
        match line:
            case MessageLine():
                message = self._messages.take(number, line)
                self._mention(number, message.agent)
                self._mention(number, message.by)
            case ChatLine() | ChatMessageLine():
                self._mention(number, self._chats.take(number, line))
            case WaitLine():
                self._wait_lines.take(number, line)
            case TrajectoryLine():
                self._trajectories.take(number, line)
                self._mention(number, line.agent)
            case LoopLine():
                loop = loop_of(number, line, self._by, self._tx.now)
                self._loops.append((number, loop))
            case _ as never:
                assert_never(never)

    def settle(self) -> None:
        """Judges the whole: ids, dependencies, cycles; counts what is kept with tasks.

        Raises:
            UserError: A line does not fit the others.
            NotFoundError: A dependency is nowhere.
            ConflictError: An id is taken.
        """
        self._name_the_unnamed()
        known = transfer.known_tasks(self._tx, self._all_ids())
        for task, number in self._line_of.items():
            if task in known:
                raise conflict_in(number, f"there is a task {task} already")
        self._settle_edges(known)
        self.warnings += self._identities.settle()
        self._settle_history()
        chat_line = self._chats.settle()
        if chat_line is not None:
            raise conflict_in(chat_line, "there is another one of this number")
        for number, one in self._consumed:
            if one.task not in self._line_of and one.task not in known:
                raise missing_task(number, one.task)
        statuses = {row.id: row.status for row in self._rows.values()}
        self._trajectories.settle(statuses, set(self._agents))
        self._place(known)
        self._wait_lines.settle(statuses, known, self._agents)
        self._settle_loops()

    def write(self) -> None:
        """Writes all of it, and one row that says so to the change log."""
        tx = self._tx
        rows = [self._rows[number] for number in sorted(self._rows)]
        self._identities.write()
        transfer.insert_tasks(tx, rows, self._placed)
        transfer.insert_edges(
            tx,
            sorted(
                (task, dep, kind)
                for task, waits in self._waits.items()
                for dep, kind in waits.items()
            ),
        )
        insert_artifacts(tx, self._artifacts)
        transfer.insert_agents(tx, (row for _, row in self._agents.values()))
        transfer.insert_spend(tx, self._spend)
        self._prompts.write()
        self._messages.write()
        self._chats.write()
        insert_consumed(tx, (one for _, one in self._consumed))
        self._trajectories.write()
        self._wait_lines.write()
        self._agency.write()
        if self._highest_agent:
            transfer.pass_agent_number(tx, self._highest_agent)
        transfer.insert_changes(tx, (change for _, change in self._log))
        transfer.insert_changes(tx, self._added())
        transfer.raise_chains(tx, self._least_chains)
        for _, loop in self._loops:
            loops.insert(tx, loop)
        for number, link in self._links:
            self._write_link(number, link)
        self.edge_count += sum(map(len, self._waits.values()))
        self.log_count = len(self._log)
        tx.emit(
            ChangeKind.GRAPH_IMPORTED,
            by=self._by,
            reason=f"{self.task_count} tasks, {self.edge_count} edges",
        )

    def _take_task(self, number: int, task: str, line: TaskLine) -> None:
        if not is_id(task):
            raise bad_line(number, f"{task!r} is not an id")
        if task in self._line_of:
            first = self._line_of[task]
            raise bad_line(number, f"the id {task} is in line {first} already")
        self._line_of[task] = number
        self._rows[number] = task_row(number, task, line, self._tx.now)
        self._titles[number] = line.title
        self._chats.take_task(task, line.status, line.tags)
        if waits := waits_of(number, line):
            self._waits[task] = waits
        if line.inputs and line.after is not UNSET and line.status not in SETTLED:
            self._producers[task] = options.producers(line.inputs)
        self._mention(number, line.added_by)
        if line.artifacts:
            for artifact in artifact_rows(number, line, self._tx.now):
                self._artifacts.append((task, artifact))
                self._mention(number, artifact.agent)

    def _take_agent(self, number: int, line: AgentLine) -> None:
        row = agent_row(number, line, self._tx.now)
        if row.number > HIGHEST_AGENT:
            raise bad_line(number, f"the number of {line.id} is too high")
        if row.number in self._agents:
            first = self._agents[row.number][0]
            raise bad_line(number, f"the id {line.id} is in line {first} already")
        self._agents[row.number] = (number, row)
        self._spend.extend(spend_rows(number, line, row))
        self._consumed.extend(
            (number, one) for one in consumed_rows(number, line, row.number)
        )

    def _mention(self, number: int, agent: str | None) -> None:
        if agent is not None:
            self._mentions.setdefault(agent, number)

    def _name_the_unnamed(self) -> None:
        """Makes ids from titles as `wg add` does, around all that are given."""
        last: dict[str, int] = {}
        for number, line in self._unnamed:
            slug = options.id_from_title(line.title)
            count = last.get(slug, 0) + 1
            candidate = slug if count == 1 else options.numbered(slug, count)
            while candidate in self._line_of or reads.is_taken(self._tx, candidate):
                count += 1
                candidate = options.numbered(slug, count)
            last[slug] = count
            self._take_task(number, candidate, line)
        self._unnamed.clear()

    def _all_ids(self) -> set[str]:
        ids = set(self._line_of)
        for waits in (*self._waits.values(), *self._producers.values()):
            ids.update(waits)
        ids.update(one.task for _, one in self._consumed)
        for _, line in self._edge_lines:
            ids.update((line.task, line.after))
        ids.update(self._wait_lines.targets())
        return ids

    def _settle_edges(self, known: Mapping[str, tuple[Status, int]]) -> None:
        for number, line in self._edge_lines:
            if line.task in self._line_of:
                waits = self._waits.setdefault(line.task, {})
                if waits.setdefault(line.after, line.on) != line.on:
                    what = f"{line.task} waits for {line.after} in another way already"
                    raise bad_line(number, what)
            elif line.task in known:
                if known[line.task][0] in SETTLED - {Status.FAILED}:
                    what = (
                        f"{line.task} is {known[line.task][0]}: an edge has no effect"
                    )
                    raise bad_line(number, what)
                self._links.append((number, line))
            else:
                raise missing_task(number, line.task)
            if line.after not in self._line_of and line.after not in known:
                raise missing_task(number, line.after)
        self._add_producers(known)
        for task, waits in self._waits.items():
            for dep in waits:
                if dep not in self._line_of and dep not in known:
                    raise missing_task(self._line_of[task], dep)

    def _add_producers(self, known: Collection[str]) -> None:
        """An input makes its producer a dependency; its heir stands in for it."""
        heirs = {row.id for row in self._rows.values() if row.superseded_by}
        for task, producers in self._producers.items():
            for producer in producers:
                is_there = producer in self._line_of or producer in known
                if is_there and producer not in heirs:
                    self._waits.setdefault(task, {}).setdefault(producer, "done")

    def _settle_history(self) -> None:
        for number, change in self._log:
            if change.task not in self._line_of:
                raise bad_line(number, f"the task {change.task!r} is not in this file")
        attempts: dict[tuple[str, int], int] = {}
        for number, row in self._agents.values():
            if row.task not in self._line_of:
                raise bad_line(number, f"the task {row.task!r} is not in this file")
            first = attempts.setdefault((row.task, row.attempt), number)
            if first != number:
                what = f"attempt {row.attempt} of {row.task} is in line {first} already"
                raise bad_line(number, what)
        self._prompts.settle(self._agents)
        self._agency.settle(self._line_of, attempts)
        tasks_of = {row.number: row.task for _, row in self._agents.values()}
        message_line = self._messages.settle(self._line_of, tasks_of)
        if message_line is not None:
            raise conflict_in(message_line, "there is another message of this number")
        lines = {number: line for number, (line, _) in self._agents.items()}
        for agent, line in self._mentions.items():
            mentioned = parse_agent_id(agent)
            if mentioned is not None and mentioned <= HIGHEST_AGENT:
                lines.setdefault(mentioned, line)
        self._mentions.clear()
        taken = transfer.taken_agents(self._tx, lines)
        if taken:
            first = min(taken)
            raise conflict_in(lines[first], f"there is another agent-{first}")
        self._highest_agent = max(lines, default=0)

    def _place(self, known: Mapping[str, tuple[Status, int]]) -> None:
        ids = [row.id for row in self._rows.values()]
        dependencies = {task: tuple(waits) for task, waits in self._waits.items()}
        order, cycle = topology.sort_topologically(ids, dependencies)
        if cycle:
            shown = topology.show_cycle(cycle)
            what = f"{cycle[0]} would wait for itself: {shown}"
            raise bad_line(self._line_of[cycle[0]], what)
        chain = topology.chains(order, dependencies)
        statuses = {row.id: row.status for row in self._rows.values()}
        unmet: dict[str, int] = {}
        for task, waits in self._waits.items():
            open_ones = 0
            for dep, kind in waits.items():
                if dep not in statuses:
                    least = max(self._least_chains.get(dep, 0), chain[task] + 1)
                    self._least_chains[dep] = least
                status = statuses[dep] if dep in statuses else known[dep][0]
                open_ones += status not in MEETS[kind]
            if open_ones:
                unmet[task] = open_ones
        last: dict[str, NewAgentRow] = {}
        for _, row in self._agents.values():
            if row.task not in last or last[row.task].attempt < row.attempt:
                last[row.task] = row
        self._placed = Placed(
            unmet=unmet,
            chain=chain,
            last_agent={task: f"agent-{row.number}" for task, row in last.items()},
        )

    def _settle_loops(self) -> None:
        """The members are in order, and nobody starts in the middle of a loop."""
        rows, new = self._rows.items(), [loop for _, loop in self._loops]
        if new:
            states = {row.id: (row.status, row.gate) for _, row in rows}
            check_loops(self._loops, self._waits, states.get)
        check_gates(new, {row.id: n for n, row in rows if row.gate == GATE})
        going_on = [loop.ids for loop in new if loop.ended_at is None]
        going_on.extend(loops.live_members(self._tx))
        check_outsiders(going_on, self._waits, self._line_of)

    def _added(self) -> Iterator[Change]:
        told = {change.task for _, change in self._log}
        for number in sorted(self._rows):
            row = self._rows[number]
            if row.id not in told:
                title = self._titles[number]
                yield transfer.added_change(row, title, self._by, self._tx.now)

    def _write_link(self, number: int, link: EdgeLine) -> None:
        try:
            added = edges.insert_edge(
                self._tx, link.task, link.after, link.on, self._by
            )
        except UserError as error:
            raise bad_line(number, error.message) from error
        self.edge_count += added

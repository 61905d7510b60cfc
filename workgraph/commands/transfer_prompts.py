"""What attempts were told, in an import."""

from collections.abc import Collection

from workgraph.commands.line_errors import bad_line
from workgraph.commands.tie_lines import PromptLine
from workgraph.graph.context_view import KeptPrompt
from workgraph.graph.model import parse_agent_id
from workgraph.store import prompts
from workgraph.store.database import Tx


class PromptBatch:
    """The prompts that come in: `take` each line, `settle` once, then `write`."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._lines: list[tuple[int, PromptLine]] = []
        self._told: dict[int, KeptPrompt] = {}

    def take(self, number: int, line: PromptLine) -> None:
        """Takes a line."""
        self._lines.append((number, line))

    def settle(self, agents: Collection[int]) -> None:
        """Judges them.

        Args:
            agents: The numbers of the attempts that come in.

        Raises:
            UserError: One is of no such attempt, or is its second.
        """
        for number, line in self._lines:
            agent = parse_agent_id(line.agent)
            if agent is None or agent not in agents:
                raise bad_line(number, f"{line.agent!r} is not an agent of this file")
            if agent in self._told:
                raise bad_line(number, f"{line.agent} has been told something already")
            self._told[agent] = KeptPrompt(
                limit=line.limit, tokens=line.tokens, blocks=line.blocks
            )

    def write(self) -> None:
        """Writes all of them; the attempts are there."""
        prompts.insert(self._tx, self._told.items())

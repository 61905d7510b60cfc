"""Who uses a chat just now: counted in memory, connection by connection."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio


class Consumers:
    """Those who attach to chats, wait for a reply or watch.

    A process is wanted for a chat while somebody is there, and no daemon outlives its
    connections: so the count is in memory, and only when somebody was there last is
    written down (docs/adr/0022).

    Args:
        note: Writes down that somebody is, or was until now, in a chat.
        wake: Has the reconciler look at the chats.
    """

    def __init__(
        self, note: Callable[[int], Awaitable[None]], wake: Callable[[], None]
    ) -> None:
        self._note = note
        self._wake = wake
        self._counts: dict[int, int] = {}

    @property
    def counts(self) -> Mapping[int, int]:
        """How many are in each chat, by its number; a chat without any is not there."""
        return dict(self._counts)

    @asynccontextmanager
    async def connected(self, chat: int) -> AsyncGenerator[None]:
        """Somebody is in a chat while the block runs, however that ends."""
        self._counts[chat] = self._counts.get(chat, 0) + 1
        try:
            await self._note(chat)
            self._wake()
            yield
        finally:
            left = self._counts[chat] - 1
            if left:
                self._counts[chat] = left
            else:
                del self._counts[chat]
            with anyio.CancelScope(shield=True):
                await self._note(chat)
            self._wake()

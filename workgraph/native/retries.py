"""Which failed requests are made again, and when: a few, soon, and never in silence."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from workgraph.native.failures import Failure, RunFailed, failure_of, nonsense

ATTEMPTS: Final = 3
#: Who wants to be left alone for longer gets that: the run ends, and the daemon waits.
LONGEST_WAIT_S: Final = 20.0
_BACKOFF_S: Final = (1.0, 2.0, 4.0)


class Patience(Struct, frozen=True):
    """What is done before a request is made again."""

    #: Tells of it: the failure, the ordinal of the retry, the seconds until then.
    announce: Callable[[Failure, int, float], None]
    wait: Callable[[float], Awaitable[None]]


class RetryingModel(WrapperModel):
    """A model whose failed requests are made again when that may help.

    Its requests raise `RunFailed` when it does not help.
    """

    def __init__(self, wrapped: Model, patience: Patience) -> None:
        super().__init__(wrapped)
        self._patience = patience

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model, at most `ATTEMPTS` times more than once."""
        retries = 0
        while True:
            try:
                return await self.wrapped.request(
                    messages, model_settings, model_request_parameters
                )
            except ModelAPIError as error:
                failure = failure_of(error)
                cause: Exception = error
            except UnexpectedModelBehavior as error:
                failure = nonsense(error)
                cause = error
            delay = wait_before(failure, retries)
            if delay is None:
                raise RunFailed(failure) from cause
            retries += 1
            self._patience.announce(failure, retries, delay)
            await self._patience.wait(delay)


def wait_before(failure: Failure, retries: int) -> float | None:
    """Seconds until a request is made again; null when it is not. Pure.

    Args:
        retries: How many there were already.
    """
    if not failure.passes or retries >= ATTEMPTS:
        return None
    if failure.retry_after_s is None:
        return _BACKOFF_S[retries]
    if failure.retry_after_s > LONGEST_WAIT_S:
        return None
    return max(failure.retry_after_s, 0.0)

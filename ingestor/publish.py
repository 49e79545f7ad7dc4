"""Statements to the ledger table: what the dedup view believes.

The outbox is the lane's own fold, so a crash between a commit and its publication only publishes again: a statement
twice says the same thing twice. Sent through the same API as the rows.
"""

import queue
from collections.abc import Callable, Sequence

from ingestor_protos.ingestor_pb2 import LedgerStatement
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from ingestor.append import Answer, AppendPort, Ended
from ingestor.errors import AppendError
from ingestor.outcome import Basic, Outcome
from state.fold import Statement

MAX_STATEMENTS = 20_000
"""Statements of one request: about 200 bytes each, far below the 20 MB of a request."""

Open = Callable[[Callable[[Answer | Ended], None]], AppendPort]
"""Opens a connection that reports to the given function."""


class _Again(Exception):  # noqa: N818 - a step of the retry, never seen outside
    pass


class LedgerTable:
    """The ledger table as the run sees it: takes statements, or raises."""

    def __init__(  # noqa: PLR0913 - budget and sleep are passed in
        self,
        open_connection: Open,
        *,
        pipeline: str,
        lane: str,
        max_attempts: int,
        answer_timeout_s: float,
        sleep: Callable[[float], None],
    ) -> None:
        self._open, self._pipeline, self._lane = open_connection, pipeline, lane
        self._answer_timeout_s = answer_timeout_s
        self._retrying = Retrying(
            stop=stop_after_attempt(max_attempts),
            wait=wait_random_exponential(multiplier=0.2, max=10),
            retry=retry_if_exception_type(_Again),
            sleep=sleep,
        )

    def publish(self, statements: Sequence[Statement]) -> None:
        """Return once every statement is acknowledged.

        Raises:
            AppendError: refused, or no acknowledgement within the budget; some may have landed, which does no harm.
        """
        for at in range(0, len(statements), MAX_STATEMENTS):
            rows = [self._row(statement) for statement in statements[at : at + MAX_STATEMENTS]]
            try:
                self._retrying(self._append, rows)
            except RetryError as error:
                last = error.last_attempt.exception()
                raise AppendError(
                    f"the ledger table took no statements ({last}): rows stay invisible until the next run publishes"
                ) from None

    def _append(self, rows: Sequence[bytes]) -> None:
        answers: queue.SimpleQueue[Answer | Ended] = queue.SimpleQueue()
        connection = self._open(answers.put)
        try:
            connection.send("statements", rows)
            outcome: Outcome = answers.get(timeout=self._answer_timeout_s).outcome
        except queue.Empty:
            connection.cancel()
            raise _Again(f"no answer in {self._answer_timeout_s:g} s") from None
        finally:
            connection.close()
        match outcome.basic:
            case Basic.APPENDED:
                return
            case Basic.AGAIN:
                raise _Again(f"{outcome.code}: {outcome.message}")
            case Basic.REFUSED:
                raise AppendError(f"the ledger table refused the statements: {outcome.code}: {outcome.message}")

    def _row(self, statement: Statement) -> bytes:
        return LedgerStatement(
            pipeline_id=self._pipeline,
            lane=self._lane,
            version=statement.version,
            run_id=statement.run_id,
            batch_id=statement.batch_id,
            status=statement.status,
            row_count=statement.rows,
            at=statement.at_us,
        ).SerializeToString(deterministic=True)

"""What a user or operator can meet, as one small tree.

An error's message is one line: what, where, and what to do next. `EXIT_CODE` is what the command ends with.
"""

from typing import ClassVar


class IngestorError(Exception):
    """Base of every error that ends a command with one line instead of a traceback."""

    EXIT_CODE: ClassVar[int] = 3


class ConfigurationError(IngestorError):
    """The environment does not describe a run; the message holds every problem, one a line."""

    EXIT_CODE = 2


class SchemaMismatch(IngestorError):  # noqa: N818 - named after what was found
    """The message does not fit the table; the message names each difference and the way to mend it."""

    EXIT_CODE = 2


class SourceError(IngestorError):
    """The source cannot be read on: a final answer, a body that is not what was configured, or retries used up."""


class AppendError(IngestorError):
    """BigQuery did not take a batch; it stays in doubt and the next run settles it."""


class BigQueryUnavailable(IngestorError):  # noqa: N818 - named after a state, not a fault of the caller
    """BigQuery's metadata could not be read in bounded time."""


class DeadLetterError(IngestorError):
    """The dead-letter bucket did not take an object; the checkpoint stays where it is."""


class LedgerRefused(IngestorError):  # noqa: N818 - named after what was found
    """The ledger could not be written or belongs to another run now; nothing more is done."""


class DifferenceFound(IngestorError):  # noqa: N818 - named after what was found
    """A check found what should not be."""

    EXIT_CODE = 4

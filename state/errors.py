"""What can go wrong with the ledger. Each docstring is the message's meaning; each message says what to do next."""
# ruff: noqa: N818 - named for what happened: a conflict is an answer, not a fault


class LedgerError(Exception):
    """Base of everything the ledger raises."""


class VersionConflict(LedgerError):
    """Somebody else wrote this version: refold and go on, or stop."""


class OutcomeUnknown(LedgerError):
    """The store did not say whether the commit was applied: look at the version and compare the nonce."""


class LedgerUnavailable(LedgerError):
    """The store could not be reached within its budget; what was asked may or may not have been written."""


class CorruptHistory(LedgerError):
    """The journal contradicts itself or the fold refuses it: run `ingestor ledger verify`."""


class UnknownEvent(LedgerError):
    """The journal holds an event type or schema version newer than this code: deploy the newer version again."""


class Refused(LedgerError):
    """The ledger's rules do not allow this now: the message says what state the batch is in and what can be done."""

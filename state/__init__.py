"""The ledger: events, their fold, the journal port and its adapters.

This package imports nothing of the rest of the project (a test holds it to that), so it can be read, tested and
trusted alone. `events`, `fold`, `codec` and `index` are pure; `firestore` and `sqlite` are the adapters of the port
in `journal`; `ledger` is the one place that writes; `ops` writes the operators' lane through it.
"""

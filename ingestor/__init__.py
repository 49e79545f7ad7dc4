"""The run: read the source, encode, append to BigQuery, keep the ledger. `docs/concepts.md` tells the story."""

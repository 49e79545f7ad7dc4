"""Python code that protoc generates from `proto/*.proto` (`make proto`); never edited, never committed.

It is a package of its own, below `proto/`, because the import name `proto` belongs to proto-plus.
"""

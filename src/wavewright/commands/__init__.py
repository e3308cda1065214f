"""The sub-commands, plain functions that `cli` registers."""

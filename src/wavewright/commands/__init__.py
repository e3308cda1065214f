"""The sub-commands, as plain functions that `cli` registers."""

"""The `sightline` command: one module a command, each a frozen dataclass with a `run` that returns the exit code."""

from sightline.cli.app import main

__all__ = ["main"]

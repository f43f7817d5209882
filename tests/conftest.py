"""Fixtures that several test files use."""

from tests.postgres_server import postgres

__all__ = ["postgres"]

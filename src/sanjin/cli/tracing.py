"""Traces of jobs, where the environment names a collector for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sanjin import __version__
from sanjin.cli.output import note, text
from sanjin.observe.asked import wanted

if TYPE_CHECKING:
    from sanjin.observe.otlp import Tracing


def open_tracing(region: str, rate: float) -> Tracing | None:
    """What sends traces; None where nobody wants them, or, with a word of it, where the packages are missing."""
    if not wanted(os.environ):
        return None
    try:
        from sanjin.observe.otlp import Tracing
    except ImportError as fault:
        note(text("cli.no_otel", fault=fault))
        return None
    return Tracing(region, rate, __version__)

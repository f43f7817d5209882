"""What most commands load: a person waits for it each time."""

from __future__ import annotations

import subprocess
import sys

MODULES = ("running", "watching", "submitting", "reserving", "node", "users", "policies", "logs")


def test_commands_that_ask_a_region_or_read_a_folder_do_without_the_compiler() -> None:
    """Loading Numba takes longer than all else that such a command does."""
    code = f"import importlib, sys\nfor m in {MODULES}: importlib.import_module('sanjin.cli.' + m)\n"
    code += "import sanjin.client, sanjin.cli.main, sanjin.tree.overview\nprint('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"

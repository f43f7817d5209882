"""A job that names a container image, from the command line to its record: what ran can be asked for again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sanjin.regions.load import bundled
from tests.images import make_layout, needs_tools
from tests.live import Region
from tests.support import needs_bwrap

SITE = "datong"


def submitted(region: Region, image: str) -> list[dict[str, Any]]:
    """The record of a job that reads a file of its image."""
    words = ["--duration", "60", "--delay-price", "1000", "--wait", "--output", "json", "--image", image]
    done = region.run("submit", *words, "--", "cat", "/etc/said")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_job_in_an_image(tmp_path: Path) -> None:
    needs_bwrap()
    needs_tools()
    make_layout(tmp_path / "shelf", "tools/box", "v1", {"etc/said": b"hello"})
    document = bundled("shanxi").read_text(encoding="utf-8")
    before = f"  {SITE}:\n    name_en: Datong\n"
    assert before in document
    (tmp_path / "shanxi.yaml").write_text(document.replace(before, f"{before}    images: true\n"), encoding="utf-8")
    engines = tmp_path / "engines.yaml"
    engines.write_text(
        f"engines:\n  {SITE}: {{engine: local, images: {{allow: ['oci:tools/*'], folder: {tmp_path}/shelf}}}}\n"
    )
    region = Region(tmp_path / "state")
    assert region.run("engines", "set", str(engines)).returncode == 0
    undeclared = region.run("up")
    assert undeclared.returncode == 3 and "images: true" in undeclared.stderr
    region.up("--region", str(tmp_path / "shanxi.yaml"))
    try:
        (done,) = submitted(region, "oci:tools/box:v1")
        name = f"oci:tools/box:v1@sha256:{done['detail'].rpartition('@sha256:')[2]}"
        assert (done["state"], done["site"]) == ("succeeded", SITE) and f"image={name}" in done["detail"]
        assert region.run("logs", done["id"]).stdout == "hello"
        assert f"image={name}" in submitted(region, name)[0]["detail"]
        assert name in region.run("job", done["id"]).stdout
        bad = region.run("submit", "--image", "oci:../etc", "--", "true")
        assert bad.returncode == 3 and "spec.image" in bad.stderr
        refused = region.run("submit", "--wait", "--site", SITE, "--image", "oci:other:v1", "--", "true")
        assert refused.returncode == 9
    finally:
        region.down()

"""Runs in container images: what they find, which are refused, and what a hostile image cannot do."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sanjin.adapters.engines import images
from sanjin.adapters.engines.local import LocalEngine
from sanjin.model.engines import ImageSettings, ImageWay
from sanjin.model.image import image_name
from sanjin.ports import EndReason, RunOrder, RunReport, RunState
from tests.images import Member, device_named, folder_named, link_named, make_layout, needs_tools
from tests.support import free_ports, needs, needs_bwrap, until

Make = Callable[..., LocalEngine]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """The site's folder of images."""
    needs_bwrap()
    needs_tools()
    return tmp_path / "shelf"


@pytest.fixture
def make(tmp_path: Path, shelf: Path) -> Iterator[Make]:
    made: list[LocalEngine] = []

    def build(*allow: str, **more: int) -> LocalEngine:
        settings = ImageSettings(allow=allow or ("oci:*",), folder=str(shelf), **more)
        made.append(LocalEngine(tmp_path / "site", images=settings))
        return made[-1]

    yield build
    for engine in made:
        engine.close()


def run(engine: LocalEngine, key: str, image: str, *command: str, **more: object) -> RunReport:
    """Run one command to its end; what could not be started too."""
    failed = engine.start([RunOrder(key=key, command=command, image=image, time_limit_s=60.0, **more)])  # type: ignore[arg-type]
    found = {r.key: r for r in failed}

    def ended() -> bool:
        found.update((r.key, r) for r in engine.watch())
        return key in found

    until(ended, f"end of {key}", within_s=60.0)
    return found[key]


def said(engine: LocalEngine, key: str) -> str:
    return (engine.logs(key, "stdout", 0, 5000) + engine.logs(key, "stderr", 0, 5000)).decode()


# -- what a run finds -------------------------------------------------------------------------


def test_an_image_is_unpacked_once_and_its_digest_is_told_and_can_be_asked_for(
    make: Make, shelf: Path, tmp_path: Path
) -> None:
    reference = make_layout(shelf, "tools/box", "v1", {"etc/said": b"one"}, env={"COLOUR": "red", "PATH": "/bin"})
    engine = make()
    first = run(engine, "first", reference, "sh", "-c", "cat /etc/said; echo -$COLOUR-$HOME; ls / /job")
    assert (first.reason, first.exit_status, first.sandbox) == (EndReason.EXIT, 0, "bwrap"), said(engine, "first")
    listed = said(engine, "first").split()
    assert listed[0] == "one-red-/job/work"
    assert set(listed) >= {"bin", "etc", "usr", "dev", "proc", "tmp", "job", "work", "outputs", "inputs"}
    assert not set(listed) & {"home", "root", "work0", "lib64"}  # nothing of this machine's
    name = first.detail.removeprefix("image=")
    assert name.startswith("oci:tools/box:v1@sha256:")
    digest = name.rpartition(":")[2]
    kept = tmp_path / "site/images" / digest
    before = kept.stat().st_ino
    make_layout(shelf, "tools/box", "v1", {"etc/said": b"two"})
    late = make()  # in which no answer is fresh
    assert run(late, "fixed", name, "cat", "/etc/said").detail == first.detail
    assert run(late, "moved", reference, "cat", "/etc/said").detail != first.detail
    assert (said(late, "fixed"), said(late, "moved")) == ("one", "two")
    assert kept.stat().st_ino == before
    elsewhere = f"oci:tools/box:v1@sha256:{'0' * 64}"
    wrong = run(late, "wrong", elsewhere, "true")
    assert wrong.reason is EndReason.NOT_STARTED and "now" in wrong.detail


def test_a_tag_that_is_missing_and_a_command_that_is_not_there_are_told(make: Make, shelf: Path) -> None:
    reference = make_layout(shelf, "box", "v1")
    engine = make()
    missing = run(engine, "tag", "oci:box:v9", "true")
    assert missing.reason is EndReason.NOT_STARTED and "oci:box:v9" in missing.detail
    assert run(engine, "no", "oci:none:v1", "true").detail.endswith("it is not there")
    absent = run(engine, "python", reference, "python3", "-c", "1")
    assert absent.reason is EndReason.NOT_STARTED and absent.exit_status == 127


def test_an_image_is_pulled_from_a_registry_by_tag_and_by_digest(make: Make, shelf: Path, tmp_path: Path) -> None:
    needs("docker-registry")
    (port,) = free_ports(1)
    settings = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
    (tmp_path / "registry.yaml").write_text(settings + f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n")
    make_layout(shelf, "box", "v1", {"etc/said": b"pulled"})
    name = f"docker://127.0.0.1:{port}/team/box"
    with subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yaml")]) as server:
        push = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{shelf}/box:v1", f"{name}:v1"]
        until(lambda: subprocess.run(push, check=False, capture_output=True).returncode == 0, "push")
        engine = make(f"{name}*")
        found = run(engine, "tag", f"{name}:v1", "cat", "/etc/said")
        missing = run(engine, "missing", f"{name}:v2", "true")
        server.terminate()
    assert (found.exit_status, said(engine, "tag")) == (0, "pulled")
    assert missing.reason is EndReason.NOT_STARTED and "manifest unknown" in missing.detail
    fixed = found.detail.removeprefix("image=")
    assert fixed.startswith(f"{name}@sha256:")
    assert run(make(f"{name}*"), "digest", fixed, "cat", "/etc/said").exit_status == 0  # kept: the registry is gone


APPTAINER = """#!/bin/sh
# What a run under Apptainer would find, without it: variables by prefix, folders by their own names.
echo "$@" > %(told)s
while [ "$1" != --pwd ]; do shift; done
root=$3
shift 3
echo "$root" >> %(told)s
env > %(told)s.env
exec "$@"
"""


def test_apptainer_is_given_the_root_the_folders_and_the_variables_and_no_secret_in_its_words(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text(APPTAINER % {"told": told})
    (tmp_path / "bin/apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    make_layout(shelf, "box", "v1", env={"COLOUR": "red"})
    (shelf / "a.sif").write_bytes(b"sif")
    settings = ImageSettings(allow=("*",), folder=str(shelf), way=ImageWay.APPTAINER)
    engine = LocalEngine(tmp_path / "site", images=settings)
    try:
        secret = {"TOKEN": "SECRET"}
        found = run(engine, "box", "oci:box:v1", "/bin/sh", "-c", "echo ran", environment=secret, accelerators=1)
        assert (found.exit_status, found.sandbox, said(engine, "box")) == (0, "apptainer", "ran\n")
        words, _ = told.read_text().splitlines()
        assert words.startswith("exec --containall --no-privs --net --network none --workdir")
        assert f"--bind {tmp_path}/site/runs/box/outputs:/job/outputs" in words and "--nv" in words
        assert f"--pwd /job/work {tmp_path}/site/images/" in words and "SECRET" not in words
        env = dict(line.split("=", 1) for line in Path(f"{told}.env").read_text().splitlines() if "=" in line)
        assert env["APPTAINERENV_TOKEN"] == "SECRET" and env["APPTAINERENV_COLOUR"] == "red"
        assert env["APPTAINERENV_SANJIN_OUTPUTS"] == "/job/outputs" and "TOKEN" not in env
        sif = run(engine, "sif", "sif:a.sif", "/bin/true")
        assert sif.detail == f"image=sif:a.sif@sha256:{hashlib.sha256(b'sif').hexdigest()}"
        assert f"--pwd /job/work {shelf}/a.sif /bin/true" in told.read_text()
        (tmp_path / "in:put").write_text("x")
        odd = run(engine, "odd", "sif:a.sif", "/bin/true", inputs={"a": str(tmp_path / "in:put")})
        assert odd.reason is EndReason.NOT_STARTED and "cannot be given a path" in odd.detail
    finally:
        engine.close()


# -- which are refused ------------------------------------------------------------------------


def test_what_is_not_allowed_is_refused_and_so_is_all_where_there_are_no_settings(
    make: Make, shelf: Path, tmp_path: Path
) -> None:
    make_layout(shelf, "team/box", "v1")
    make_layout(shelf, "other/box", "v1")
    engine = make("oci:team/*")
    assert run(engine, "ours", "oci:team/box:v1", "true").exit_status == 0
    for number, image in enumerate(("oci:other/box:v1", "docker://registry.example/a:b", "sif:a.sif")):
        refused = run(engine, f"other{number}", image, "true")
        assert (refused.reason, "allows" in refused.detail) == (EndReason.NOT_STARTED, True)
    assert not (tmp_path / "site/runs/other0").exists()
    bare = LocalEngine(tmp_path / "bare")
    try:
        told = bare.start([RunOrder(key="a", command=("true",), image="oci:team/box:v1")])
        assert "runs no images" in told[0].detail
    finally:
        bare.close()
    sif = run(make("*"), "sif", "sif:a.sif", "true")
    assert "Apptainer" in sif.detail


TRICKS = (
    "oci:../box:v1", "oci:/etc:v1", "oci:a/../../box:v1", "oci:./box", "oci:.hidden", "oci:a//b", "oci:a:b:c",
    "oci:a:..", "oci:a:v1@sha256:00", "oci:a b", "oci:a\n", "oci:-o", "docker://../a:b", "docker://h/A:b", "docker://h/a",
    "docker://user@h/a:b", "docker://h/a/../b:c", "docker://-h/a:b", "docker://h/a:b@sha256:" + "0" * 64, "dir:/etc",
    "box", "/etc", "", "oci:", "oci:a,b", "sif:../a.sif", "oci:" + "a" * 500, "docker-archive:/a", "oci:é",
)  # fmt: skip


@pytest.mark.parametrize("reference", TRICKS)
def test_tricks_in_references_are_none(reference: str) -> None:
    assert image_name(reference) is None


@pytest.mark.parametrize(
    "reference",
    ["docker://registry.example:5000/a/b-c:2.1", "docker://h/a@sha256:" + "0" * 64, "oci:a/B_c.d:v1", "oci:a",
     "sif:a/b.sif@sha256:" + "f" * 64],
)  # fmt: skip
def test_references_that_are_some(reference: str) -> None:
    found = image_name(reference)
    assert found is not None
    assert found.fixed("1" * 64).startswith(reference.partition("@")[0].removesuffix(":2.1"))


def test_a_link_in_the_sites_folder_leads_out_of_it_for_nobody(make: Make, shelf: Path, tmp_path: Path) -> None:
    make_layout(tmp_path / "elsewhere", "box", "v1")
    shelf.mkdir()
    (shelf / "out").symlink_to(tmp_path / "elsewhere/box")
    refused = run(make(), "out", "oci:out:v1", "true")
    assert refused.reason is EndReason.NOT_STARTED and "not in the site's folder" in refused.detail


# -- what a hostile image cannot do -----------------------------------------------------------


def test_links_in_an_image_lead_nowhere_else(make: Make, shelf: Path, tmp_path: Path) -> None:
    secret, target = tmp_path / "secret", tmp_path / "target"
    secret.write_text("SECRET")
    target.mkdir()
    ways = ["", "/oldroot", "/newroot/../oldroot", "/proc/1/root"]
    hostile: dict[str, Member] = {f"a{n}": link_named(f"a{n}", f"{way}{secret}") for n, way in enumerate(ways)}
    # what bubblewrap would make or mount there, were it to follow them
    for name in ("job", "tmp", "proc", "sys"):
        hostile[name] = link_named(name, f"/oldroot{target}")
    hostile["dev"] = link_named("dev", f"../..{target}")
    hostile["home"] = link_named("home", f"/oldroot{target}")
    reference = make_layout(shelf, "hostile", "v1", hostile)
    engine = make()
    script = "for n in 0 1 2 3; do cat /a$n && echo READ; done; touch /home/x /tmp/x; echo out > $SANJIN_OUTPUTS/a"
    found = run(engine, "links", reference, "sh", "-c", f"{script}; ls -d /oldroot /newroot; readlink /job; exit 0")
    assert found.exit_status == 0, (found, said(engine, "links"))
    assert "READ" not in said(engine, "links") and "SECRET" not in said(engine, "links")
    assert os.listdir(target) == []
    assert engine.output("links", "a", 0, 10) == b"out\n"


def test_layers_write_nothing_outside_of_the_store(make: Make, shelf: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "there").write_text("before")
    hostile: dict[str, Member] = {}
    deep = "../" * 12
    for number, name in enumerate((f"{deep}{target}/up".replace("//", "/"), f"{target}/absolute")):
        hostile[f"w{number}"] = folder_named(name)
    hostile["way"] = link_named("way", str(target))
    hostile["through"] = folder_named("way/made")
    hostile["hard"] = link_named("hard", f"{deep}{target}/there", hard=True)
    hostile["etc/last"] = b"last"
    reference = make_layout(shelf, "hostile", "v1", hostile)
    engine = make()
    found = run(engine, "layers", reference, "cat", "/hard")
    assert os.listdir(target) == ["there"]
    assert (target / "there").read_text() == "before"
    assert (target / "there").stat().st_nlink == 1
    assert "before" not in said(engine, "layers"), found


def test_devices_and_setuid_programs_of_an_image_give_nothing(make: Make, shelf: Path, tmp_path: Path) -> None:
    disk = os.stat("/").st_dev
    hostile: dict[str, Member] = {
        "disk": device_named("disk", os.major(disk), os.minor(disk)),
        "zero": device_named("zero", 1, 5),
        "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
    }
    hostile["usr/cat"] = (0o6755, Path(needs("busybox")).read_bytes())
    reference = make_layout(shelf, "hostile", "v1", hostile)
    engine = make()
    script = "ls /dev; for d in /disk /zero; do [ -c $d ] && echo DEVICE $d; [ -s $d ] && echo FULL; done; "
    script += "stat -c mode=%a /usr/cat; /usr/cat /proc/self/status; mkdir /job/work/sub && echo made"
    found = run(engine, "gains", reference, "sh", "-c", script)
    assert found.exit_status == 0, said(engine, "gains")
    told = said(engine, "gains")
    assert "DEVICE" not in told and "FULL" not in told and "made" in told
    assert "mode=6755" in told
    assert {"null", "zero", "random", "urandom", "full"} <= set(told.split())
    status = dict(line.split(":\t", 1) for line in told.splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {0}
    store = tmp_path / "site/images"
    assert stat.S_IMODE(store.stat().st_mode) == 0o700  # no other user reaches what may be setuid in it


def test_an_image_sees_no_other_processes_network_files_or_its_own_root_writable(make: Make, shelf: Path) -> None:
    reference = make_layout(shelf, "box", "v1")
    engine = make()
    run(engine, "sees", reference, "sh", "-c", "cat /proc/net/dev; ls /proc; touch /bin/x /x /etc/x; exit 0")
    told = said(engine, "sees")
    assert [line.split(":")[0].strip() for line in told.splitlines() if ":" in line and "|" not in line][:1] == ["lo"]
    assert told.count("Read-only file system") == 3
    pids = [int(line) for line in told.splitlines() if line.isdecimal()]
    assert pids and max(pids) < 50


def test_a_bomb_is_ended_while_it_is_unpacked(make: Make, shelf: Path, tmp_path: Path) -> None:
    reference = make_layout(shelf, "bomb", "v1", {"zeros": bytes(60 << 20)})
    found = run(make(unpacked_bytes=10 << 20), "bomb", reference, "true")
    assert found.reason is EndReason.NOT_STARTED and "more than 10485760 bytes" in found.detail
    assert not list((tmp_path / "site/images").glob("making-*"))


def test_an_image_that_is_never_there_holds_up_no_other_run(
    make: Make, shelf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "skopeo").write_text("#!/bin/sh\nexec sleep 600\n")
    (slow / "skopeo").chmod(0o755)
    (shelf / "box").mkdir(parents=True)
    monkeypatch.setattr(images, "PROGRAMS_PATH", f"{slow}:/usr/bin:/bin")
    engine = make()
    assert engine.start([RunOrder(key="slow", command=("true",), image="oci:box:v1")]) == []
    assert run(engine, "plain", "", "true").exit_status == 0
    slow = engine.find(["slow"])[0]
    assert (slow.state, slow.detail) == (RunState.RUNNING, "waits for its image")
    engine.cancel(["slow"])
    assert {r.key: r.reason for r in engine.watch()}["slow"] is EndReason.CANCELLED
    engine.close()  # which waits for nothing that is under way

"""A stand-in for a Kubernetes API server and its Job controller, in memory: Jobs, pods and nodes of one namespace.

``old`` answers as a real 1.20.2 did (``contract/kube_1_20.json``, which a test holds it against): fields that it does
not know are dropped, and a pod that is deleted is made again. Otherwise it knows Indexed Jobs with a limit of failures
for each index, suspended ones and a time to live, and a pod that is deleted has failed, as the documentation of 1.31
has it.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
NEW = ("completionMode", "backoffLimitPerIndex", "suspend", "ttlSecondsAfterFinished")
"""Fields of a Job that came after 1.20 or were kept back there."""
INDEX = "batch.kubernetes.io/job-completion-index"
FINISHED = ("Succeeded", "Failed")


class Refusal(Exception):
    """An answer other than a good one."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.body = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code,
        }  # fmt: skip
        self.code = code


class StandIn:
    """``start`` it, and it answers at ``url`` to whoever has the ``token``."""

    def __init__(self, *, old: bool = False) -> None:
        self.old = old
        self.token = secrets.token_hex(16)
        self.jobs: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.nodes: dict[str, Object] = {}
        self.seen: list[tuple[str, str]] = []
        self.refuse: Callable[[str, str], Refusal | None] = lambda method, path: None
        self._version = 0
        self._guard = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                code, answer = outer.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
                text = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = do_PATCH = do

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- the API ---------------------------------------------------------------------------

    def answer(self, method: str, target: str, body: Any, auth: str) -> tuple[int, Object]:
        """Status and body of an answer."""
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self._guard:
            self.seen.append((method, target))
            try:
                if auth != f"Bearer {self.token}":
                    raise Refusal(401, "Unauthorized", "Unauthorized")
                if refusal := self.refuse(method, parts.path):
                    raise refusal
                code, found = self._route(method, parts.path.strip("/").split("/"), query, body)
                found = json.loads(json.dumps(found))  # as it is now
            except Refusal as refusal:
                return refusal.code, refusal.body
            if method != "GET" and "dryRun" not in query:
                self._control()
            return code, found

    def _route(self, method: str, path: list[str], query: dict[str, str], body: Any) -> tuple[int, Object]:
        match path:
            case ["api", "v1", "nodes"]:
                kind, held = "Node", self.nodes
            case ["api", "v1", "nodes", *_]:
                kind, held, path = "Node", self.nodes, path[1:]
            case ["api", "v1", "namespaces", _, "pods", *_]:
                kind, held, path = "Pod", self.pods, path[3:]
            case ["apis", "batch", "v1", "namespaces", _, "jobs", *_]:
                kind, held, path = "Job", self.jobs, path[4:]
            case _:
                raise Refusal(404, "NotFound", "the server could not find the requested resource")
        rest = path[2:] if kind != "Node" or len(path) > 3 else []
        match method, rest:
            case "GET", []:
                return 200, _list(kind, list(held.values()), query)
            case "POST", []:
                return 201, self._create(kind, held, body, "dryRun" in query)
            case "GET", [name]:
                return 200, _get(kind, held, name)
            case "DELETE", [name]:
                return 200, self._delete(kind, held, name, query)
            case "PATCH", [name, *_]:
                _get(kind, held, name)
                _merge(held[name], {"status": body["status"]} if rest[1:] == ["status"] else body)
                return 200, held[name]
            case "POST", [name, "binding"]:
                pod = _get(kind, held, name)
                if pod["spec"].get("nodeName"):
                    raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on pods/binding "{name}": taken')
                pod["spec"]["nodeName"] = body["target"]["name"]
                return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
            case _:
                raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the resource")

    def _create(self, kind: str, held: dict[str, Object], body: Object, dry: bool) -> Object:
        body = json.loads(json.dumps(body))
        name = body["metadata"]["name"]
        plural = {"Job": "jobs.batch", "Node": "nodes"}[kind]
        if name in held:
            raise Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists')
        if kind == "Job":
            self._check_job(name, body)
        body["metadata"] |= {"uid": secrets.token_hex(8), "creationTimestamp": _now()}
        body.setdefault("status", {})
        if not dry:
            held[name] = body
        return body

    def _check_job(self, name: str, job: Object) -> None:
        spec = job["spec"]
        for key in NEW if self.old else ():
            spec.pop(key, None)
        spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
        spec.setdefault("parallelism", 1)
        spec.setdefault("completions", 1)
        if not self.old:
            spec.setdefault("completionMode", "NonIndexed")
            spec.setdefault("suspend", False)
        container = spec["template"]["spec"]["containers"][0]
        for key, asked in container["resources"]["requests"].items():
            limit = container["resources"]["limits"].get(key)
            if limit != asked:
                where = f"spec.template.spec.containers[0].resources.requests: Invalid value: \"{asked}\""
                raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: {where}: must be less than or equal to '
                              f"{key} limit")  # fmt: skip
        if not container.get("image"):
            where = "spec.template.spec.containers[0].image: Required value"
            raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: {where}')

    def _delete(self, kind: str, held: dict[str, Object], name: str, query: dict[str, str]) -> Object:
        thing = _get(kind, held, name)
        if kind == "Job":
            del held[name]
            for pod in [p for p in self.pods.values() if _owner(p) == thing["metadata"]["uid"]]:
                self._delete("Pod", self.pods, pod["metadata"]["name"], {})
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        bound = kind == "Pod" and thing["spec"].get("nodeName") and thing["status"]["phase"] not in FINISHED
        if bound and query.get("gracePeriodSeconds") != "0":
            thing["metadata"].setdefault("deletionTimestamp", _now())
            thing["metadata"]["deletionGracePeriodSeconds"] = 30
        else:
            del held[name]
            self._gone(thing)
        return thing

    # -- the Job controller ----------------------------------------------------------------

    def _gone(self, pod: Object) -> None:
        """A pod is no more: the newer controller counts it as failed where it had not finished."""
        job = next((j for j in self.jobs.values() if j["metadata"]["uid"] == _owner(pod)), None)
        if job is not None and not self.old and pod["status"]["phase"] not in FINISHED and not job["spec"]["suspend"]:
            job["status"].setdefault("_lost", []).append(_index(pod))

    def _control(self) -> None:
        """Do what the controller would, for all Jobs."""
        for job in self.jobs.values():
            spec, status = job["spec"], job["status"]
            if any(c["type"] in ("Complete", "Failed") for c in status.get("conditions", ())):
                continue
            pods = [p for p in self.pods.values() if _owner(p) == job["metadata"]["uid"]]
            if spec.get("suspend"):
                for pod in pods:
                    self._delete("Pod", self.pods, pod["metadata"]["name"], {})
                status.pop("startTime", None)
                status["active"] = 0
                continue
            self._sync(job, spec, status, pods)

    def _sync(self, job: Object, spec: Object, status: Object, pods: list[Object]) -> None:
        status.setdefault("startTime", _now())
        apart = spec.get("completionMode") == "Indexed"
        done = {_index(p) for p in pods if p["status"]["phase"] == "Succeeded"}
        failed = {_index(p) for p in pods if p["status"]["phase"] == "Failed"} | set(status.get("_lost", ()))
        going = [p for p in pods if p["status"]["phase"] not in FINISHED and "deletionTimestamp" not in p["metadata"]]
        counts = {"succeeded": len(done), "failed": len(failed)}
        over = ""
        if apart:
            status |= {"completedIndexes": _told(done), "failedIndexes": _told(failed)}
            if len(done | failed) == spec["completions"]:
                over, reason = ("Failed", "FailedIndexes") if failed else ("Complete", "")
        elif failed:
            over, reason = "Failed", "BackoffLimitExceeded"
        elif len(done) >= spec["completions"]:
            over, reason = "Complete", ""
        if over:
            condition = {"type": over, "status": "True", "lastTransitionTime": _now()}
            status["conditions"] = [condition | ({"reason": reason} if reason else {})]
            status |= {"completionTime": _now()} if over == "Complete" else {}
        else:
            have = done | failed | {_index(p) for p in going}
            if not self.old:  # the newer controller waits for the end of what is deleted
                have |= {_index(p) for p in pods}
            for index in range(spec["completions"]):
                if index not in have:
                    self._make_pod(job, index, apart)
                    going.append({})
            counts["active"] = len(going)
        for key in ("succeeded", "failed", "active"):
            status.pop(key, None)
        status |= {key: count for key, count in counts.items() if count}

    def _make_pod(self, job: Object, index: int, apart: bool) -> None:
        name = f"{job['metadata']['name']}{f'-{index}' if apart else ''}-{secrets.token_hex(3)}"
        template = json.loads(json.dumps(job["spec"]["template"]))
        labels = {**template["metadata"]["labels"], "job-name": job["metadata"]["name"]}
        ours = {key: job["metadata"][key] for key in ("uid", "name")}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True, **ours}
        self.pods[name] = {
            "metadata": {
                "name": name, "labels": labels, "annotations": {INDEX: str(index)} if apart else {},
                "ownerReferences": [owner], "creationTimestamp": _now(),
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }  # fmt: skip


def _get(kind: str, held: dict[str, Object], name: str) -> Object:
    if name not in held:
        plural = {"Job": "jobs.batch", "Pod": "pods", "Node": "nodes"}[kind]
        raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
    return held[name]


def _list(kind: str, held: list[Object], query: dict[str, str]) -> Object:
    for clause in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = clause.partition("=")
        held = [o for o in held if o["metadata"].get("labels", {}).get(key) == value]
    for clause in filter(None, query.get("fieldSelector", "").split(",")):
        key, sign, value = clause.partition("!=" if "!=" in clause else "=")
        held = [o for o in held if (_field(o, key) == value) is (sign == "=")]
    first, limit = int(query.get("continue", 0)), int(query.get("limit", 0)) or len(held)
    more = {"continue": str(first + limit)} if first + limit < len(held) else {}
    version = {"Job": "batch/v1"}.get(kind, "v1")
    items = held[first : first + limit]
    return {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1", **more}, "items": items}


def _field(thing: Object, key: str) -> str:
    found: Any = thing
    for part in key.split("."):
        found = found.get(part) or {}
    return found or ""


def _merge(into: Object, patch: Object) -> None:
    """A merge patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _owner(pod: Object) -> str:
    return next((owner["uid"] for owner in pod["metadata"].get("ownerReferences", ())), "")


def _index(pod: Object) -> int:
    return int(pod["metadata"]["annotations"].get(INDEX, 0))


def _told(numbers: set[int]) -> str:
    """As Kubernetes lists numbers: three and more in a row by the first and the last."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 2 else ",".join(map(str, p)) for p in parts)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

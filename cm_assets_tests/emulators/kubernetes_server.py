"""A server on loopback that takes the Jobs of a Kubernetes cluster's API, and runs none of them."""

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from cm_assets_tests.emulators.loopback import Handler, LoopbackServer

JOBS = re.compile(r"^/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/?]+))?")


class _Handler(Handler):
    owner: ClassVar["KubernetesServer"]

    def do_POST(self) -> None:
        """A new Job."""
        body = json.loads(self.body())
        found = JOBS.match(self.path)
        if found is None:
            self.send(404, b"{}", {"Content-Type": "application/json"})
            return
        with self.owner.lock:
            self.owner.jobs[body["metadata"]["name"]] = {"namespace": found[1], **body}
        self.send(201, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def do_GET(self) -> None:
        """A Job, which is at work until it is removed; the pods, of which there are none."""
        if "/pods" in self.path:
            self.send(
                200, b'{"kind": "PodList", "apiVersion": "v1", "items": []}', {"Content-Type": "application/json"}
            )
            return
        found = JOBS.match(self.path)
        job = self.owner.jobs.get(found[2]) if found is not None and found[2] else None
        answer = {**job, "status": {"active": 1}} if job is not None else {"kind": "Status", "code": 404}
        self.send(200 if job is not None else 404, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def do_DELETE(self) -> None:
        """A Job is removed, and its pods with it."""
        found = JOBS.match(self.path)
        with self.owner.lock:
            gone = self.owner.jobs.pop(found[2], None) if found is not None and found[2] else None
        self.send(
            200 if gone is not None else 404,
            b'{"kind": "Status", "apiVersion": "v1"}',
            {"Content-Type": "application/json"},
        )


class KubernetesServer(LoopbackServer):
    """A cluster.

    Attributes:
        jobs: what was asked for and not removed, by name.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.jobs: dict[str, dict[str, Any]] = {}

    def kubeconfig(self, folder: Path) -> Path:
        """How clients find it."""
        path = folder / "kubeconfig.json"
        cluster = {"name": "here", "cluster": {"server": self.address}}
        context = {"name": "here", "context": {"cluster": "here", "user": "nobody"}}
        user = {"name": "nobody", "user": {}}
        kinds: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "here"}
        path.write_text(json.dumps({**kinds, "clusters": [cluster], "contexts": [context], "users": [user]}))
        return path

"""A hub on this machine, with the few endpoints that sharing and downloading a model use."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds: repositories, their files, and whether they are private."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def environment(self, home: Any, token: str | None = TOKEN) -> dict[str, str]:
        """The variables with which huggingface_hub finds this hub."""
        own = {"HF_ENDPOINT": self.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        return own | ({"HF_TOKEN": token} if token else {})


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    hub = Hub()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: Any = b"", **headers: str) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if "/resolve/" not in path:
                repository = path.removeprefix("/api/models/").partition("/revision/")[0]
                found = repository in hub.files
                return self.answer(200, {"id": repository, "sha": COMMIT, "siblings": []}) if found else self.missing()
            repository, _, rest = path[1:].partition("/resolve/")
            revision, _, name = rest.partition("/")
            if repository not in hub.files:
                return self.missing()
            if revision not in ("main", COMMIT):
                return self.answer(404, b"", X_Error_Code="RevisionNotFound")
            content = hub.files[repository].get(name)
            if content is None:
                return self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            digest = hashlib.sha256(content).hexdigest()
            return self.answer(200, content, ETag=f'"{digest}"', X_Repo_Commit=COMMIT)

        def missing(self) -> None:
            self.answer(401, b"", X_Error_Code="RepoNotFound")

        def do_POST(self) -> None:  # noqa: PLR0911  # a line for each endpoint
            hub.asked.append(f"{self.command} {self.path}")
            body = self.body()
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.answer(401, {"error": "Invalid username or password."})
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                repository = f"{asked.get('organization') or 'me'}/{asked['name']}"
                if repository in hub.files:
                    return self.answer(409, {"error": "there already", "url": f"{hub.address}/{repository}"})
                hub.files[repository] = {}
                hub.private[repository] = asked.get("private", False) or asked.get("visibility") == "private"
                return self.answer(200, {"url": f"{hub.address}/{repository}", "id": repository})
            if self.path == "/api/validate-yaml":
                return self.answer(200, {"errors": [], "warnings": []})
            if "/preupload/" in self.path:
                files = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                         for one in json.loads(body)["files"]]  # fmt: skip
                return self.answer(200, {"files": files})
            if "/commit/" in self.path:
                repository = self.path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[repository][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                url = f"{hub.address}/{repository}/commit/{COMMIT}"
                return self.answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": url})
            return self.answer(404, {"error": f"the fake knows no {self.path}"})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

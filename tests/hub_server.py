"""A Hub in a thread: what huggingface_hub and our downloads ask of the real one, with faults that can be ordered.

It answers as huggingface.co does (its API documentation, and `file_download.py` and `hf_api.py` of huggingface_hub):
model information, tree, and `resolve` with ETag, X-Repo-Commit and, for large files, a redirect to another host that
knows no token, X-Linked-Etag, X-Linked-Size and ranges.
"""

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "2fc06364715b967f1860aea9cf38778875588b17"
LARGE = (".safetensors", ".bin", ".gguf", "tokenizer.json")  # in Git LFS, as in the official repositories


@dataclass
class Fault:
    """What goes wrong with a file, the first `times` that it is asked for."""

    times: int = 1
    status: int = 0  # answer this instead
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int = -1  # bytes, then the connection closes
    flip: bool = False  # one bit is wrong
    no_ranges: bool = False  # the whole file, whatever part is asked for
    wait: float = 0  # seconds before the answer
    pause: float = 0  # seconds after every 64 kB


class HubServer:
    """`with HubServer({"Qwen/Qwen3.5-0.8B": folder}) as hub:` then `hub.endpoint`.

    Attributes: `faults`, by the end of a path; `asked`, every request as (method, path); `sent`, bytes by file name;
    `starts`, (file name, first byte) of every answer that has bytes;
    `tokens`, the Authorization headers by host; `gated`, repositories that want a token.
    """

    def __init__(self, repositories: dict[str, Path], *, branches: tuple[str, ...] = ("main",), xet: bool = False):
        self.repositories, self.branches, self.xet = repositories, branches, xet
        self.commits = dict.fromkeys(repositories, COMMIT)
        self.faults: dict[str, Fault] = {}
        self.gated: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.sent: Counter[str] = Counter()
        self.starts: list[tuple[str, int]] = []
        self.tokens: dict[str, set[str | None]] = {"hub": set(), "cdn": set()}
        self.lock = threading.Lock()
        self.dead = False
        self.server = _Server(("127.0.0.1", 0), type("Answer", (_Answer,), {"hub": self}))
        self.port = self.server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.die()

    def die(self) -> None:
        """No more answers, on connections that are open neither."""
        if not self.dead:
            self.dead = True
            self.server.shutdown()
            self.server.server_close()

    def files(self, repo: str) -> list[dict]:
        """Every file as the tree shows it."""
        root = self.repositories[repo]
        paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
        return [self.described(path, path.relative_to(root).as_posix()) for path in paths]

    def described(self, path: Path, name: str) -> dict:
        data = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        found: dict = {"type": "file", "path": name, "size": len(data), "oid": blob}
        if name.endswith(LARGE):
            found["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 135}
            if self.xet:
                found["xetHash"] = hashlib.sha256(b"xet" + data).hexdigest()
        return found

    def downloads(self) -> list[str]:
        """Names of the files whose bytes were asked for, in order."""
        return [path.rsplit("/", 1)[-1] for method, path in self.asked if method == "GET" and "/api/" not in path]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that has gone
            super().handle_error(request, client_address)


class _Answer(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        if self.hub.dead:
            self.close_connection = True
            return
        path = unquote(urlsplit(self.path).path)
        host = "cdn" if path.startswith("/cdn/") else "hub"
        with self.hub.lock:
            self.hub.asked.append((self.command, path))
            self.hub.tokens[host].add(self.headers.get("Authorization"))
            found = next((key for key, fault in self.hub.faults.items() if path.endswith(key) and fault.times), None)
            fault = self.hub.faults[found] if found else Fault(times=0)
            if found and (self.command == "GET" or fault.status) and not (host == "hub" and self.redirected(path)):
                fault.times -= 1
            else:
                fault = Fault(times=0)
        time.sleep(fault.wait)
        try:
            if fault.status:
                self.say(fault.status, b"no", fault.headers)
            elif host == "cdn":
                self.send(path, fault)
            elif path.startswith("/api/models/"):
                self.tell(path.removeprefix("/api/models/"))
            else:
                self.resolve(path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def redirected(self, path: str) -> bool:
        return "/resolve/" in path and path.endswith(LARGE)

    def say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refused(self, repo: str, revision: str) -> bool:
        """Whether a refusal was sent."""
        if repo not in self.hub.repositories:
            self.say(401 if not self.headers.get("Authorization") else 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif repo in self.hub.gated and not self.headers.get("Authorization"):
            self.say(401, b"{}", {"X-Error-Code": "GatedRepo"})
        elif revision not in (*self.hub.branches, self.hub.commits[repo]):
            self.say(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            return False
        return True

    def tell(self, rest: str) -> None:
        """The API: OWNER/NAME[/revision/R] and OWNER/NAME/tree/R."""
        owner, name, *more = rest.split("/", 3)
        repo, revision = f"{owner}/{name}", more[1] if len(more) > 1 else "main"
        if self.refused(repo, revision):
            return
        files = self.hub.files(repo)
        if more and more[0] == "tree":
            body: object = files
        else:
            siblings = [
                {"rfilename": f["path"], "size": f["size"], "blobId": f["oid"]}
                | ({"lfs": {"sha256": f["lfs"]["oid"], "size": f["size"], "pointerSize": 135}} if "lfs" in f else {})
                for f in files
            ]
            body = {"id": repo, "modelId": repo, "sha": self.hub.commits[repo], "siblings": siblings, "private": False}
        self.say(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def resolve(self, path: str, fault: Fault) -> None:
        repo, _, rest = path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        if self.refused(repo, revision):
            return
        file = self.hub.repositories[repo] / name
        if not file.is_file():
            self.say(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.hub.commits[repo]})
            return
        known = self.hub.described(file, name)
        headers = {"X-Repo-Commit": self.hub.commits[repo], "ETag": f'"{known["oid"]}"', "Accept-Ranges": "bytes"}
        if "lfs" not in known:
            self.send_bytes(file, name, fault, headers)
            return
        more = {"X-Linked-Etag": f'"{known["lfs"]["oid"]}"', "X-Linked-Size": str(known["size"])}
        if "xetHash" in known:
            more["X-Xet-Hash"] = known["xetHash"]
            more["Link"] = f'<{self.hub.endpoint}/api/models/{repo}/xet-read-token/{revision}>; rel="xet-auth"'
        where = f"http://localhost:{self.hub.port}/cdn/{repo}/{name}?signature=1"  # another host: no token goes there
        self.say(302, b"", headers | more | {"Location": where})

    def send(self, path: str, fault: Fault) -> None:
        owner, repo, name = path.removeprefix("/cdn/").split("/", 2)
        folder = self.hub.repositories.get(f"{owner}/{repo}")
        if folder is None:
            self.say(200, b"<html>Welcome to our network</html>")
        else:
            self.send_bytes(folder / name, name, fault, {"ETag": '"of the CDN"'})

    def send_bytes(self, file: Path, name: str, fault: Fault, headers: dict[str, str]) -> None:
        data = bytearray(file.read_bytes())
        if fault.flip:
            data[len(data) // 2] ^= 1
        size, start = len(data), 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and not fault.no_ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= size:
                self.say(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            headers |= {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        body = bytes(data[start:])
        self.send_response(206 if "Content-Range" in headers else 200)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.hub.lock:
            self.hub.starts.append((name, start))
        end = len(body) if fault.drop_after < 0 else min(len(body), fault.drop_after)
        for at in range(0, end, 65536):
            piece = body[at : min(at + 65536, end)]
            self.wfile.write(piece)
            with self.hub.lock:
                self.hub.sent[name] += len(piece)
            time.sleep(fault.pause)
        if end < len(body):
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(1)

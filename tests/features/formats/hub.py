"""A small Hugging Face hub on this machine, which says what the real one says to its client's questions."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

__all__ = ["Hub", "serving"]

Files = Mapping[str, bytes]


class Hub:
    """Repositories by their names, each with its revisions; `given` are the files that were downloaded."""

    def __init__(self) -> None:
        self.revisions: dict[str, dict[str, Files]] = {}
        self.closed: dict[str, int] = {}  # repositories that answer with this status
        self.given: list[str] = []
        self.address = ""

    def add(self, repository: str, folder: Path, revision: str = "main") -> None:
        """A repository with all files of a folder."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.revisions.setdefault(repository, {})[revision] = files

    def found(self, repository: str, revision: str) -> tuple[str, Files] | None:
        """The commit of a revision, and its files."""
        for name, files in self.revisions[repository].items():
            commit = hashlib.sha1(f"{repository} {name}".encode()).hexdigest()
            if revision in (name, commit):
                return commit, files
        return None


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers at its `address`."""
    hub = Hub()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(hub, self)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _answer(hub: Hub, request: BaseHTTPRequestHandler) -> None:
    parts = unquote(urlsplit(request.path).path).strip("/").split("/")
    about = parts[:2] == ["api", "models"]
    owner, name, *rest = parts[2:] if about else parts
    repository = f"{owner}/{name}"
    if repository in hub.closed:
        code = {"X-Error-Code": "GatedRepo"} if hub.closed[repository] == 403 else {}
        return _say(request, hub.closed[repository], code)
    if repository not in hub.revisions:
        return _say(request, 404, {"X-Error-Code": "RepoNotFound"})
    what, revision, *inside = [*rest, "main"][:2] + rest[2:] if rest else ["revision", "main"]
    if (found := hub.found(repository, revision)) is None:
        return _say(request, 404, {"X-Error-Code": "RevisionNotFound"})
    commit, files = found
    if about:
        return _say(request, 200, {}, json.dumps(_told(repository, what, commit, files)).encode())
    path = "/".join(inside)
    if path not in files:
        return _say(request, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
    if request.command == "GET":
        hub.given.append(f"{repository}/{path}")
    content = files[path]
    return _say(request, 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}, content)


def _told(repository: str, what: str, commit: str, files: Files) -> object:
    """A repository's record, or the list of its files."""
    if what == "tree":
        oids = {path: hashlib.sha1(content).hexdigest() for path, content in files.items()}
        return [{"type": "file", "path": path, "size": len(files[path]), "oid": oid} for path, oid in oids.items()]
    return {"id": repository, "sha": commit, "private": False, "siblings": [{"rfilename": path} for path in files]}


def _say(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes = b"{}") -> None:
    request.send_response(status)
    for key, value in {"Content-Length": str(len(content)), **headers}.items():
        request.send_header(key, value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(content)

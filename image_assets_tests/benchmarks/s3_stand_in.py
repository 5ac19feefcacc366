"""A server that lists an S3 bucket of very many objects that lie nowhere: ``python -m …benchmarks.s3_stand_in``.

It answers ListObjectsV2 with prefixes, delimiters, start-after and continuation tokens, in pages of 1,000, and GET and
HEAD of objects. The bucket's name says what it holds: ``inventory-1000000-1000-50`` is a million objects, 1,000 of
them changed, each answer 50 ms late.
"""

import contextlib
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from image_assets_tests.benchmarks.inventories import Objects
from image_assets_tests.servers import Server

PREFIX = "raw/"
_PAGE = 1000
_BEFORE = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
_WHEN = "2026-01-01T00:00:00.000Z"


@contextlib.contextmanager
def stand_in() -> Iterator[Server]:
    """Run the server in a process of its own until the block ends."""
    command = [sys.executable, "-m", "image_assets_tests.benchmarks.s3_stand_in"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server("s3", process.stdout.readline().strip(), {})
        finally:
            process.kill()


def bucket_name(count: int, changed: int, delay_ms: int) -> str:
    """Return the name of the bucket that holds so many objects."""
    return f"inventory-{count}-{changed}-{delay_ms}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the second packet of an answer waits for the client to acknowledge the first.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        bucket, path, query = self._asked()
        objects, delay_s = _held(bucket)
        time.sleep(delay_s)
        if path:
            number = int(path.removesuffix(".jpg").rpartition("-")[2])
            self._answer(objects.data(number), {"ETag": f'"{objects.tag(number)}"', "Last-Modified": _HTTP_WHEN})
        else:
            self._answer(_page(objects, query).encode(), {"Content-Type": "application/xml"})

    do_HEAD = do_GET  # noqa: N815

    def _asked(self) -> tuple[str, str, dict[str, str]]:
        parts = urlsplit(self.path)
        bucket, _, path = parts.path.lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        return bucket, unquote(path), {name: values[0] for name, values in query.items()}

    def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


_HTTP_WHEN = "Thu, 01 Jan 2026 00:00:00 GMT"


def _held(bucket: str) -> tuple[Objects, float]:
    count, changed, delay_ms = map(int, bucket.split("-")[1:])
    return Objects(count, changed), delay_ms / 1000


def _page(objects: Objects, query: dict[str, str]) -> str:
    """Return one answer to ListObjectsV2; a token is the name to begin with."""
    prefix = query.get("prefix", "")
    first = _first_not_before(objects, query.get("continuation-token", prefix))
    if "start-after" in query:
        first = max(first, _first_not_before(objects, query["start-after"] + "\0"))
    contents, folders, place = [], [], first
    while place < objects.count and len(contents) + len(folders) < _PAGE:
        number = objects.number_at(place)
        name = PREFIX + objects.name(number)
        if not name.startswith(prefix):
            break
        folder, slash, _ = name.removeprefix(prefix).partition("/")
        if slash and query.get("delimiter") == "/":
            folders.append(f"<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>")
            # "0" follows "/".
            place = _first_not_before(objects, f"{prefix}{folder}0")
            continue
        contents.append(
            f"<Contents><Key>{name}</Key><LastModified>{_WHEN}</LastModified><ETag>&quot;{objects.tag(number)}&quot;"
            f"</ETag><Size>{objects.size_bytes(number)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
        place += 1
    follows = PREFIX + objects.name(objects.number_at(place)) if place < objects.count else ""
    token = f"<NextContinuationToken>{quote(follows)}</NextContinuationToken>" if follows.startswith(prefix) else ""
    coding = "<EncodingType>url</EncodingType>" if query.get("encoding-type") == "url" else ""
    said = f"<Prefix>{prefix}</Prefix><MaxKeys>{_PAGE}</MaxKeys><IsTruncated>{str(bool(token)).lower()}</IsTruncated>"
    return "".join([_BEFORE, said, coding, token, *contents, *folders, "</ListBucketResult>"])


def _first_not_before(objects: Objects, name: str) -> int:
    return bisect_left(range(objects.count), name, key=lambda place: PREFIX + objects.name(objects.number_at(place)))


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listener:
        listener.daemon_threads = True
        print(f"http://127.0.0.1:{listener.server_port}", flush=True)
        listener.serve_forever()

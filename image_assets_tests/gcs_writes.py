"""Google's object store with writes: the emulator has them in the JSON interface alone, obstore sends the XML one.

A proxy before fake-gcs-server. What is real: the requests are those that obstore sends to Google; objects, their
generations, listings, reads and deletes are the emulator's; and it is the emulator that judges each condition, under
its own lock. Nothing here looks whether an object is there.

What is translated, since the emulator does not know it:

* ``PUT`` of an object becomes an upload by the JSON interface; ``x-goog-if-generation-match`` becomes
  ``ifGenerationMatch``.
* A copy becomes a read and such an upload: the emulator's own copy ignores conditions. So that Google copies without
  sending the bytes to anybody, and that the copy is of one generation, is not shown.
* An upload in parts: parts lie in this proxy until the upload is completed, and become one such upload then. That parts
  are 5 MiB at least, that their tags must be told, and that a completed upload is unknown afterwards is Google's
  documentation, put into code here.
* ``If-Match`` of a read, which the emulator ignores, becomes ``generation``, that with which the tag was last seen.

What Google alone has is in no test: credentials, its limit of one write a second to a name, the ETags of its composed
objects (these are MD5 sums), and how long its servers take to agree.
"""

import contextlib
import hashlib
import json
import re
import secrets
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from image_assets_tests.proxy import Answer, Request, ask, listening
from image_assets_tests.servers import Server

_LEAST_PART_BYTES = 5 * 2**20
_CONDITION = "x-goog-if-generation-match"
_SOURCE = "x-goog-copy-source"
_OTHER_INTERFACES = ("/storage/", "/upload/", "/download/", "/batch/", "/_internal/")
# Says that no token is wanted: obstore asks for one before each write, and there is nobody to ask.
_NO_TOKEN = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}


@contextlib.contextmanager
def with_writes(server: Server) -> Iterator[Server]:
    """Run the proxy before an emulator; yield Google's store as it is seen through it."""
    with listening(_Translation(urllib.parse.urlsplit(server.endpoint).netloc).serve) as address:
        yield Server("gs", f"http://{address}", {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(_NO_TOKEN)})


@dataclass(frozen=True, slots=True)
class _Object:
    """What a request is about: where, what its query says, and its headers and body."""

    method: str
    bucket: str
    name: str
    query: Mapping[str, str]
    request: Request


@dataclass(slots=True)
class _Upload:
    """An upload in parts: number to bytes."""

    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class _Translation:
    """The emulator, and what this proxy keeps: uploads that are not completed, and which generation had which tag."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._uploads: dict[str, _Upload] = {}
        self._generations: dict[tuple[str, str], str] = {}

    def serve(self, request: Request) -> Answer:
        split = urllib.parse.urlsplit(request.path)
        bucket, _, name = split.path.removeprefix("/").partition("/")
        if split.path.startswith(_OTHER_INTERFACES) or not name:
            return self._ask(request)
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        wanted = _Object(request.method, bucket, urllib.parse.unquote(name), query, request)
        answer = self._serve_object(wanted)
        told = {name.lower(): value for name, value in answer.headers}
        if "etag" in told and "x-goog-generation" in told:
            self._generations[split.path, told["etag"]] = told["x-goog-generation"]
        return answer

    def _serve_object(self, wanted: _Object) -> Answer:
        if wanted.method == "POST" and "uploads" in wanted.query:
            return self._begin(wanted)
        if "uploadId" in wanted.query:
            return self._serve_upload(wanted, wanted.query["uploadId"])
        if wanted.method == "PUT" and _SOURCE in wanted.request.headers:
            return self._copy(wanted)
        if wanted.method == "PUT":
            return self._insert(wanted, wanted.request.body, wanted.request.headers.get("content-type", ""))
        if "if-match" in wanted.request.headers:
            return self._read_generation(wanted)
        return self._ask(wanted.request)

    def _insert(self, wanted: _Object, data: bytes, content_type: str) -> Answer:
        """Upload by the JSON interface; the emulator says whether the condition holds."""
        query = {"uploadType": "multipart"}
        if (generation := wanted.request.headers.get(_CONDITION)) is not None:
            query["ifGenerationMatch"] = generation
        mark = secrets.token_hex(16)
        head = json.dumps({"name": wanted.name, "contentType": content_type})
        body = b"\r\n".join(
            [
                f"--{mark}\r\ncontent-type: application/json\r\n\r\n{head}".encode(),
                f"--{mark}\r\ncontent-type: {content_type}\r\n\r\n".encode() + data,
                f"--{mark}--".encode(),
            ]
        )
        path = f"/upload/storage/v1/b/{wanted.bucket}/o?{urllib.parse.urlencode(query)}"
        headers = {"content-type": f"multipart/related; boundary={mark}"}
        answer = self._ask(Request("POST", path, headers, body))
        if answer.status != 200:
            return answer
        made = json.loads(answer.body)
        return Answer(200, (("ETag", f'"{made["etag"]}"'), ("x-goog-generation", made["generation"])))

    def _copy(self, wanted: _Object) -> Answer:
        source = self._ask(Request("GET", f"/{wanted.request.headers[_SOURCE]}", {}))
        if source.status != 200:
            return source
        return self._insert(wanted, source.body, dict(source.headers).get("Content-Type", ""))

    def _read_generation(self, wanted: _Object) -> Answer:
        headers, path = wanted.request.headers, wanted.request.path
        generation = self._generations.get((urllib.parse.urlsplit(path).path, headers["if-match"]), "0")
        headers = {name: value for name, value in headers.items() if name != "if-match"}
        answer = self._ask(Request(wanted.method, f"{path}?generation={generation}", headers))
        return Answer(412) if answer.status == 404 else answer

    def _begin(self, wanted: _Object) -> Answer:
        upload_id = secrets.token_hex(8)
        self._uploads[upload_id] = _Upload(wanted.request.headers.get("content-type", ""))
        return _xml("InitiateMultipartUploadResult", {"UploadId": upload_id})

    def _serve_upload(self, wanted: _Object, upload_id: str) -> Answer:
        upload = self._uploads.get(upload_id)
        if upload is None:
            return Answer(404, body=b"<Error><Code>NoSuchUpload</Code></Error>")
        if wanted.method == "PUT":
            upload.parts[int(wanted.query["partNumber"])] = wanted.request.body
            return Answer(200, (("ETag", _tag(wanted.request.body)),))
        del self._uploads[upload_id]
        return Answer(204) if wanted.method == "DELETE" else self._complete(wanted, upload)

    def _complete(self, wanted: _Object, upload: _Upload) -> Answer:
        named = re.sub(rb'\sxmlns="[^"]*"', b"", wanted.request.body)
        told = [(int(part.findtext("PartNumber", "0")), part.findtext("ETag")) for part in ET.fromstring(named)]
        parts = [upload.parts.get(number, b"") for number, _ in told]
        small = any(len(part) < _LEAST_PART_BYTES for part in parts[:-1])
        if small or [(number, _tag(part)) for (number, _), part in zip(told, parts, strict=True)] != told:
            return Answer(400, body=b"<Error><Code>InvalidPart</Code></Error>")
        answer = self._insert(wanted, b"".join(parts), upload.content_type)
        if answer.status != 200:
            return answer
        made = dict(answer.headers)
        result = _xml("CompleteMultipartUploadResult", {"Bucket": wanted.bucket, "Key": wanted.name, **made})
        return Answer(200, (("x-goog-generation", made["x-goog-generation"]),), result.body)

    def _ask(self, request: Request) -> Answer:
        """Ask the emulator, which looks at the name that it is called by."""
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        return ask(self._address, Request(request.method, request.path, headers, request.body))


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _xml(name: str, fields: Mapping[str, str]) -> Answer:
    root = ET.Element(name)
    for field_name, value in fields.items():
        ET.SubElement(root, field_name).text = value
    return Answer(200, body=ET.tostring(root))

"""Tar and zip archives as sources: units, labels, hostile contents, and what happens when one cannot be listed."""

import io
import random
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass

import pytest

from image_assets.core.errors import ContainerError, SourceError, SourceFileError, VanishedError
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.archives import UNIT_BYTES
from image_assets.sources.gzip_stream import GzipStream
from image_assets.sources.members import name_in_key
from image_assets.sources.read_ahead import ReadAhead
from image_assets.sources.tar_archive import TarArchive
from image_assets_tests.containers import write_tar, write_zip
from image_assets_tests.images import image_bytes

LIMIT = 10**6
IMAGES = {f"{'ab'[n % 2]}/{n}.jpg": image_bytes(n) for n in range(4)}


@dataclass
class Bytes:
    """A reader of bytes in memory that notes what was asked for."""

    data: bytes
    version: str = "1"

    def __post_init__(self):
        self.size_bytes = len(self.data)
        self.asked = []

    def read_at(self, offset, length):
        self.asked.append((offset, length))
        return self.data[offset : offset + length]

    def close(self):
        pass


def source_of(path, **settings):
    return build_source(SourceSettings(path=str(path), **settings))


def archives_in(folder, **settings):
    return source_of(folder, kind="archives", **settings)


def read_all(source):
    """{key: bytes} of all that is listed."""
    rows = source.list().table.to_pylist()
    return {row["key"]: source.read(row["key"], row["locator"], max_bytes=LIMIT).data for row in rows}


def labels(source):
    table = source.list().table
    return dict(zip(table["key"].to_pylist(), table["label"].to_pylist(), strict=True))


WRITERS = {
    "x.tar": write_tar,
    "gnu.tar": lambda path, members: write_tar(path, members, form=tarfile.GNU_FORMAT),
    "ustar.tar": lambda path, members: write_tar(path, members, form=tarfile.USTAR_FORMAT),
    "x.tar.gz": lambda path, members: write_tar(path, members, mode="w:gz"),
    "x.TGZ": lambda path, members: write_tar(path, members, mode="w:gz"),
    "x.zip": write_zip,
    "stored.zip": lambda path, members: write_zip(path, members, method=zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_archive_is_listed_and_read(tmp_path, name):
    source = source_of(WRITERS[name](tmp_path / name, {**IMAGES, "notes.txt": b"x", ".hidden.jpg": b"x"}))
    assert read_all(source) == {f"{name}#{member}": data for member, data in IMAGES.items()}
    assert labels(source) == {f"{name}#{member}": member[0] for member in IMAGES}
    assert source.list().ignored == 1


@pytest.mark.parametrize("name", WRITERS)
def test_an_image_is_found_by_its_key_alone_also_after_the_archive_was_replaced(tmp_path, name):
    source = source_of(WRITERS[name](tmp_path / name, IMAGES))
    rows = {row["key"]: row for row in source.list().table.to_pylist()}
    wanted = rows[f"{name}#a/2.jpg"]
    assert source.read(wanted["key"], None, max_bytes=LIMIT).data == IMAGES["a/2.jpg"]
    WRITERS[name](tmp_path / "new", {"a/first.jpg": image_bytes(9), **IMAGES})
    (tmp_path / "new").replace(tmp_path / name)
    again = source_of(tmp_path / name)
    raw = again.read(wanted["key"], wanted["locator"], max_bytes=LIMIT)
    assert raw.data == IMAGES["a/2.jpg"]
    assert raw.version != wanted["version"]
    assert raw.version == {row["key"]: row["version"] for row in again.list().table.to_pylist()}[wanted["key"]]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_that_is_written_to_while_it_is_read_is_looked_into_anew(tmp_path, kind):
    write = {"tar": write_tar, "zip": write_zip}[kind]
    path = write(tmp_path / f"x.{kind}", IMAGES)
    source = source_of(path)
    rows = source.list().table.to_pylist()
    source.read(rows[0]["key"], rows[0]["locator"], max_bytes=LIMIT)
    other = write(tmp_path / "other", {"z.jpg": image_bytes(8), "a/0.jpg": image_bytes(7)}).read_bytes()
    path.write_bytes(other)
    assert source.read(f"x.{kind}#a/0.jpg", rows[0]["locator"], max_bytes=LIMIT).data == image_bytes(7)
    with pytest.raises(VanishedError):
        source.read(f"x.{kind}#b/1.jpg", rows[1]["locator"], max_bytes=LIMIT)


def test_a_folder_of_archives_has_all_their_images(tmp_path):
    (tmp_path / "deep").mkdir()
    write_tar(tmp_path / "deep/one.tar", {"1.jpg": image_bytes(1)})
    write_zip(tmp_path / "two.zip", {"1.jpg": image_bytes(2)})
    (tmp_path / "readme.txt").write_text("x")
    source = archives_in(tmp_path)
    assert read_all(source) == {"deep/one.tar#1.jpg": image_bytes(1), "two.zip#1.jpg": image_bytes(2)}
    assert source.list().ignored == 1


def test_webdataset_labels_come_from_the_neighbours_of_an_image(tmp_path):
    members = {
        "0.jpg": image_bytes(0), "0.cls": b"shirt\n",
        "1.jpg": image_bytes(1), "1.json": b'{"label": "hat", "x": 1}', "1.txt": b"a caption is no label",
        "2.jpg": image_bytes(2), "2.cls": b"7", "2.json": b'{"label": "not this"}',
        "3.jpg": image_bytes(3), "3.json": b"not json",
        "cats/4.seg.png": image_bytes(4), "cats/4.jpg": image_bytes(4),
    }  # fmt: skip
    found = labels(source_of(write_tar(tmp_path / "x.tar", members)))
    assert found == {"x.tar#0.jpg": "shirt", "x.tar#1.jpg": "hat", "x.tar#2.jpg": "7", "x.tar#3.jpg": None,
                     "x.tar#cats/4.seg.png": "cats", "x.tar#cats/4.jpg": "cats"}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"./a/b.jpg", "a/b.jpg"),
        (b"/etc/b.jpg", "etc/b.jpg"),
        (b"a//b.jpg", "a/b.jpg"),
        (b"../../b.jpg", "%2E%2E/%2E%2E/b.jpg"),
        (b"caf\xe9.jpg", "caf%E9.jpg"),
        ("cafe\u0301.jpg".encode(), "café.jpg"),
        (b"a/._b.jpg", None),  # what macOS puts beside each file
        (b".git/b.jpg", None),
        (b"/", None),
    ],
)
def test_names_of_members_become_keys_that_lead_nowhere(name, key):
    assert name_in_key(name) == key


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_last_is_taken(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "tar":
        write_tar(path, {"a.jpg": image_bytes(1), "b.jpg": image_bytes(2), "./a.jpg": image_bytes(3)})
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, number in (("a.jpg", 1), ("b.jpg", 2), ("a.jpg", 3)):
                archive.writestr(name, image_bytes(number))
    source = source_of(path)
    assert read_all(source) == {f"x.{kind}#a.jpg": image_bytes(3), f"x.{kind}#b.jpg": image_bytes(2)}
    assert "1 members have the name of a later one" in source.list().notes[0]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names_are_read(tmp_path, form):
    names = ["x" * 150 + "/" + "y" * 180 + ".jpg", "ünïcödé-日本.jpg", "new\nline.jpg"]
    members = {name: image_bytes(number) for number, name in enumerate(names)}
    found = read_all(source_of(write_tar(tmp_path / "x.tar", members, form=form)))
    assert found == {f"x.tar#{name}": data for name, data in members.items()}


def test_links_devices_and_sparse_files_in_a_tar_are_no_images_that_can_be_read(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind in (("soft.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("dev.jpg", tarfile.CHRTYPE),
                           ("pipe.jpg", tarfile.FIFOTYPE), ("folder.jpg", tarfile.DIRTYPE),
                           ("sparse.jpg", tarfile.GNUTYPE_SPARSE)):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(b""))
        info = tarfile.TarInfo("good.jpg")
        info.size = len(image_bytes(1))
        archive.addfile(info, io.BytesIO(image_bytes(1)))
    source = source_of(path)
    rows = {row["key"]: row for row in source.list().table.to_pylist()}
    assert sorted(rows) == [f"x.tar#{name}.jpg" for name in ("good", "hard", "soft", "sparse")]
    for name, says in (("soft", "a link"), ("hard", "a link"), ("sparse", "a sparse file")):
        with pytest.raises(SourceFileError, match=f"unreadable: {says}"):
            source.read(f"x.tar#{name}.jpg", rows[f"x.tar#{name}.jpg"]["locator"], max_bytes=LIMIT)


def zip_with(entry):
    """A zip of one deflated megabyte of zeros, its central directory changed by ``entry`` (offset, bytes)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**20))
    data = bytearray(buffer.getvalue())
    place = data.rindex(b"PK\1\2")
    for offset, value in entry:
        data[place + offset : place + offset + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ([(24, struct.pack("<L", 100))], "does not hold the 100 bytes"),  # declares little, holds a megabyte
        ([(24, struct.pack("<L", 2**30))], "too_large"),
        ([(20, struct.pack("<L", 2**30))], "stored for"),
        ([(16, struct.pack("<L", 7))], "checksum"),
        ([(8, struct.pack("<H", 1))], "encrypted"),
        ([(10, struct.pack("<H", 14))], "method"),  # LZMA
        ([(4, struct.pack("<H", 3 << 8)), (38, struct.pack("<L", 0o120777 << 16))], "a link"),
        ([(42, struct.pack("<L", 5))], "does not begin where"),
    ],
)
def test_zip_members_that_lie_are_refused_one_by_one(tmp_path, entry, says):
    (tmp_path / "x.zip").write_bytes(zip_with(entry))
    source = source_of(tmp_path / "x.zip")
    (row,) = source.list().table.to_pylist()
    with pytest.raises(SourceFileError, match=says):
        source.read(row["key"], row["locator"], max_bytes=2 * 2**20)


def test_a_zip_behind_other_bytes_and_one_with_64_bit_sizes_are_read(tmp_path):
    plain = write_zip(tmp_path / "x.zip", IMAGES).read_bytes()
    (tmp_path / "x.zip").write_bytes(b"#!/bin/sh\nexit\n" + plain)
    assert len(read_all(source_of(tmp_path / "x.zip"))) == 4
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as file:
        file.write(image_bytes(1))
    assert read_all(source_of(tmp_path / "large.zip")) == {"large.zip#a.jpg": image_bytes(1)}


def large_header():
    info = tarfile.TarInfo("zeros.png")
    info.size = 300 * 2**20
    return info.tobuf()


BROKEN = {
    "cut.tar": lambda tar: tar[:3000],
    "no-end.tar": lambda tar: tar.rstrip(b"\0"),
    "garbage.tar": lambda tar: b"no tar" * 1000,
    "empty.tar": lambda tar: b"",
    "middle.tar": lambda tar: tar[:1536] + b"x" * 512 + tar[2048:],
    "cut.zip": lambda tar: b"PK\3\4" + bytes(100),
    "cut.tgz": lambda tar: zlib.compress(tar, wbits=31)[:-200],
    "no.tgz": lambda tar: tar,
    "bomb.tgz": lambda tar: zlib.compress(large_header() + bytes(300 * 2**20), wbits=31),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_archive_that_cannot_be_listed_to_its_end_is_one_failed_row_and_the_others_go_on(tmp_path, name):
    random_bytes = {f"{number}.png": random.Random(number).randbytes(900) for number in range(3)}
    good = write_tar(tmp_path / "good.tar", random_bytes).read_bytes()
    (tmp_path / name).write_bytes(BROKEN[name](good))
    source = archives_in(tmp_path)
    listing = source.list()
    rows = {row["key"]: row for row in listing.table.to_pylist()}
    assert sorted(rows) == sorted([name, *(f"good.tar#{member}" for member in random_bytes)])
    assert listing.unseen == (f"{name}#",)
    assert f"{name} cannot be listed" in listing.notes[0]
    with pytest.raises(SourceFileError, match="unreadable"):
        source.read(name, rows[name]["locator"], max_bytes=LIMIT)


def test_when_no_archive_can_be_listed_the_source_is_in_error(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"cut")
    with pytest.raises(SourceError, match=r"x\.tar cannot be listed: no tar archive"):
        source_of(tmp_path / "x.tar").list()
    with pytest.raises(SourceError, match="does not exist"):
        source_of(tmp_path / "none.tar").list()


@pytest.mark.parametrize("seed", range(300))
def test_whatever_the_bytes_a_tar_is_listed_or_refused(seed):
    draw = random.Random(seed)
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=draw.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    ) as archive:
        info = tarfile.TarInfo("é" * 80)
        info.size = 10
        archive.addfile(info, io.BytesIO(bytes(10)))
    data = bytearray(buffer.getvalue())
    for _ in range(draw.randint(1, 6)):
        data[draw.randrange(2048)] = draw.randrange(256)
    for block in range(0, 2048, 512):
        # A checksum that fits, so that what stands beside it is looked at.
        head = data[block : block + 512]
        data[block + 148 : block + 156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
    reader = Bytes(bytes(data))
    try:
        members = list(TarArchive(reader, reader).members())
    except ContainerError:
        return
    assert len(members) <= 4


def test_members_that_begin_in_one_range_share_a_bucket(tmp_path):
    members = {f"{number:03d}.png": random.Random(number).randbytes(3 * 2**20) for number in range(16)}
    rows = source_of(write_tar(tmp_path / "x.tar", members)).list().table.to_pylist()
    assert len({row["bucket"] for row in rows}) == 16 * 3 * 2**20 // UNIT_BYTES


def test_reading_ahead_asks_seldom_and_never_for_what_belongs_to_the_next_unit():
    reader = Bytes(random.Random(1).randbytes(2**22))
    ahead = ReadAhead(reader, 2**20)
    for offset in range(0, 2**20, 2**14):
        assert ahead.read_at(offset, 2**14) == reader.data[offset : offset + 2**14]
    assert len(reader.asked) < 8
    assert sum(length for _, length in reader.asked) == 2**20


def test_reading_ahead_jumps_over_large_members():
    reader = Bytes(bytes(2**25))
    ahead = ReadAhead(reader)
    for offset in range(0, 2**25, 2**22):
        ahead.read_at(offset, 512)
    assert sum(length for _, length in reader.asked) < 2**20


def test_a_gzip_stream_is_read_in_order_in_one_pass_and_also_backwards():
    plain = random.Random(1).randbytes(3 * 2**20)
    reader = Bytes(zlib.compress(plain[: 2**20], wbits=31) + zlib.compress(plain[2**20 :], wbits=31) + bytes(100))
    stream = GzipStream(reader)
    pieces = [stream.read_at(offset, 10_000) for offset in range(0, len(plain), 10_000)]
    assert b"".join(pieces) == plain
    assert sum(length for _, length in reader.asked) <= len(reader.data) + 2 * 2**20
    assert stream.read_at(5, 10) == plain[5:15]
    assert stream.read_at(len(plain) - 3, 10) == plain[-3:]

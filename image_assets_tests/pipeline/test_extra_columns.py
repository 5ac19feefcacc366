"""Extra columns of a source: carried from every kind that has any to manifest, index, digest, diff and exports."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.heads import HEAD_KEY
from image_assets.pipeline.differences import diff_summary
from image_assets.pipeline.exporting import ExportTarget, export_dataset
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets_tests.containers import image_table, write_hub_layout, write_parquet, write_tar, write_zip
from image_assets_tests.images import image_bytes, make_settings_for
from image_assets_tests.sources.web_server import web_server

COUNT = 4
CAPTIONS = ["a hat", "ein grüner Schuh", None, 'x,y\n"z"']
SIZES = [1, 2, None, 4]
EXTRA = [
    None if caption is None else {"caption": caption, "size": size}
    for caption, size in zip(CAPTIONS, SIZES, strict=True)
]
COLUMNS = {"extra_columns": ["caption", "size"]}


def _table(captions: list[str | None]) -> pa.Table:
    table = image_table([image_bytes(number) for number in range(COUNT)], ["a", "b", "a", "b"])
    more = pa.table({"caption": captions, "size": SIZES})
    for name in more.column_names:
        table = table.append_column(name, more[name])
    return table


def _members(captions: list[str | None]) -> dict[str, bytes]:
    members = {}
    for number, caption in enumerate(captions):
        said = {} if caption is None else {"caption": caption, "size": SIZES[number], "unasked": [1]}
        members |= {f"{number}.jpg": image_bytes(number), f"{number}.json": json.dumps(said).encode()}
    return members


WRITERS = {
    "x.parquet": lambda path, captions: write_parquet(path, _table(captions)),
    "hub": lambda path, captions: write_hub_layout(path, _table(captions)),
    "x.tar": lambda path, captions: write_tar(path, _members(captions)),
    "x.zip": lambda path, captions: write_zip(path, _members(captions)),
}


def _settings(folder: Path, name: str, **source: Any) -> Settings:
    kind = {"kind": "huggingface"} if name == "hub" else {}
    return make_settings_for(folder, source={"path": name, **kind, **COLUMNS, **source})


def _extras(settings: Settings) -> list[Any]:
    with open_dataset(settings.store) as dataset:
        rows = sorted(dataset.table(["key", "extra"]).to_pylist(), key=lambda row: row["key"])
    return [None if row["extra"] is None else json.loads(row["extra"]) for row in rows]


@pytest.mark.parametrize("name", WRITERS)
def test_they_reach_the_index_and_a_change_of_them_decodes_nothing(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, CAPTIONS)
    settings = _settings(tmp_path, name)
    first = run_dataset(settings)
    assert _extras(settings) == EXTRA
    WRITERS[name](tmp_path / name, [*CAPTIONS[:3], "other"])
    plan = plan_dataset(settings)
    second = run_dataset(settings)
    assert (second.counts.kept, second.counts.decoded, plan.counts.decoded) == (COUNT, 0, 0)
    assert _extras(settings) == [*EXTRA[:3], {"caption": "other", "size": 4}]
    assert first.index.head.digest != second.index.head.digest
    diff = diff_summary(settings, 1, 2)["relabelled"]
    assert [(item["extra_from"], item["extra_to"]) for item in diff] == [(EXTRA[3], {"caption": "other", "size": 4})]
    WRITERS[name](tmp_path / name, CAPTIONS)
    assert run_dataset(settings).index.head.digest == first.index.head.digest


def test_those_of_a_list_of_urls_are_kept_and_a_change_reads_nothing(tmp_path: Path) -> None:
    with web_server() as server:
        server.files.update({f"/{number}.jpg": image_bytes(number) for number in range(COUNT)})
        urls = [f"{server.root}/{number}.jpg" for number in range(COUNT)]
        table = pa.table({"url": urls, "caption": CAPTIONS, "size": SIZES})
        pq.write_table(table, tmp_path / "urls.parquet")
        http = {"allow_private_addresses": True}
        settings = _settings(tmp_path, "urls.parquet", kind="urls", http=http)
        run_dataset(settings)
        assert _extras(settings) == EXTRA
        pq.write_table(table.set_column(1, "caption", pa.array(["new"] * COUNT)), tmp_path / "urls.parquet")
        report = run_dataset(settings)
    assert (report.counts.relabelled, report.counts.read_bytes) == (COUNT, 0)
    assert [extra["caption"] for extra in _extras(settings)] == ["new"] * COUNT


def test_of_a_csv_all_are_texts_and_an_empty_field_is_none(tmp_path: Path) -> None:
    lines = ["url,caption,size", "https://a.example/1.jpg,007,1.0", "https://a.example/2.jpg,,"]
    (tmp_path / "urls.csv").write_text("\n".join(lines))
    settings = _settings(tmp_path, "urls.csv", kind="urls")
    rows = sorted(build_source(settings.source).list().table.to_pylist(), key=lambda row: row["key"])
    assert [row["extra"] for row in rows] == ['{"caption":"007","size":"1.0"}', None]


def test_classes_are_kept_by_name(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", _table(CAPTIONS))
    settings = _settings(tmp_path, "x.parquet", extra_columns=["label"])
    texts = build_source(settings.source).list().table["extra"].to_pylist()
    assert sorted(texts) == ['{"label":"a"}'] * 2 + ['{"label":"b"}'] * 2


def test_exports_show_them(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", _table(CAPTIONS))
    settings = _settings(tmp_path, "x.parquet")
    run_dataset(settings)
    export_dataset(settings.store, ExportTarget.parse(f"{tmp_path}/out/"))
    by_format = {
        "csv": [
            json.loads(row["extra"] or "null") for row in csv.DictReader((tmp_path / "out/index.csv").open(newline=""))
        ],
        "json": [row["extra"] for row in json.loads((tmp_path / "out/index.json").read_text())],
        "parquet": [
            json.loads(text or "null") for text in pq.read_table(tmp_path / "out/index.parquet")["extra"].to_pylist()
        ],
    }
    for found in by_format.values():
        assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, EXTRA))


@pytest.mark.parametrize(
    ("name", "columns", "says"),
    [
        ("x.parquet", ["nothing"], r"has no column 'nothing' \(source.extra_columns\); found: image, label"),
        ("x.parquet", ["image"], "column 'image' holds struct.*correct source.extra_columns"),
        ("urls.csv", ["nothing"], "has no column 'nothing'; correct source.extra_columns"),
        ("urls.txt", ["caption"], "is text and has no columns; take source.extra_columns away"),
        ("raw", ["caption"], "a folder has no columns; take source.extra_columns away"),
    ],
)
def test_columns_that_are_not_there_are_refused_in_words(
    tmp_path: Path, name: str, columns: list[str], says: str
) -> None:
    write_parquet(tmp_path / "x.parquet", _table(CAPTIONS))
    (tmp_path / "raw").mkdir()
    for path in (tmp_path / "urls.csv", tmp_path / "urls.txt"):
        path.write_text("url\nhttps://a.example/1.jpg\n")
    settings = _settings(tmp_path, name, extra_columns=columns, **({"kind": "urls"} if "urls" in name else {}))
    with pytest.raises((ConfigError, SourceError), match=says):
        build_source(settings.source).list()


def test_a_store_of_the_version_before_is_read_and_gets_them_without_a_decode(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", _table(CAPTIONS))
    plain = _settings(tmp_path, "x.parquet", extra_columns=[])
    before = run_dataset(plain)
    _write_as_version_2(Path(plain.store))
    assert run_dataset(plain).index.published is False
    with open_dataset(plain.store) as dataset:
        assert (dataset.digest, dataset.has_extra, dataset[0]["extra"]) == (before.index.head.digest, False, None)
    settings = _settings(tmp_path, "x.parquet")
    report = run_dataset(settings)
    assert (report.counts.decoded, report.counts.relabelled) == (0, COUNT - 1)
    assert _extras(settings) == EXTRA


def _write_as_version_2(store: Path) -> None:
    """Take the column of version 3 out of every manifest, index and listing, as version 2 wrote them."""
    changed = 0
    for path in [
        *store.glob("shards/*/manifests/*.parquet"),
        *store.glob("index*.parquet"),
        *store.glob("ind*/*.parquet"),
    ]:
        table = pq.read_table(path)
        metadata = table.schema.metadata
        assert HEAD_KEY in metadata
        pq.write_table(table.drop_columns(["extra"]).replace_schema_metadata(metadata), path, write_page_checksum=True)
        changed += 1
    assert changed >= 3

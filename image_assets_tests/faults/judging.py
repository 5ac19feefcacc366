"""What must be true of a store: after a fault nothing in it is half there, after the next run all of it is right."""

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq

from image_assets.core.sharding import shard_names
from image_assets.pipeline.verify import verify_dataset
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.manifests import latest_commit, read_manifest, segments_of
from image_assets.storage.store import Store


def assert_whole(folder: Path) -> None:
    """Every file that has its name is there whole, whatever happened; only files on their way may be halves."""
    for path in _files(folder) if folder.exists() else ():
        name = path.relative_to(folder).as_posix()
        if name.startswith((layout.STAGING, layout.LOGS)) or name == layout.LOCK:
            continue
        data = path.read_bytes()
        if content := layout.content_name_of(name):
            assert hashlib.sha256(data).hexdigest() == content, f"{name} does not hold what it is named after"
        if path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".json":
            json.loads(data)
        else:
            assert data.endswith(b"\n"), f"{name} is cut"


def assert_equals_scratch(settings: Settings, scratch: Settings) -> None:
    """The dataset is the one that a run into an empty store makes of the same source, and hangs together."""
    store = Store(settings.store)
    index = read_index_head(store, latest_index(store))
    fresh = Store(scratch.store)
    wanted = read_index_head(fresh, latest_index(fresh))
    assert (index.digest, index.rows) == (wanted.digest, wanted.rows)
    ids = pq.read_table(Path(settings.store) / layout.LATEST_INDEX)["id"].to_pylist()
    assert len(ids) == len(set(ids)) == index.rows
    assert set(index.commits) <= set(shard_names(settings.num_shards))
    for shard in shard_names(settings.num_shards):
        numbers = sorted(layout.number_of(file.path) for file in store.list(layout.manifests_of(shard)))
        assert numbers == list(range(1, len(numbers) + 1)), f"commits of {shard}: {numbers}"
        for number in numbers:
            keys = read_manifest(store, shard, number, ["key"]).rows["key"].to_pylist()
            assert len(keys) == len(set(keys)), f"commit {number} of {shard} has an image twice"
    assert verify_dataset(settings).problems == ()
    if settings.features.extractor != "none":
        assert _vectors(settings) == _vectors(scratch)
    record = Path(settings.store) / layout.EXPORTS / "exports.json"
    made = json.loads(record.read_text()) if record.exists() else {}
    assert {name: (made[name]["index_number"], made[name]["digest"]) for name in settings.exports} == dict.fromkeys(
        settings.exports, (index.number, index.digest)
    )


def strays(settings: Settings) -> set[str]:
    """Return the files of a store that neither its last state nor one of its snapshots names."""
    store = Store(settings.store)
    folder = Path(settings.store)
    named = {layout.STORE, layout.LOCK, layout.LATEST_INDEX, layout.FEATURE_VECTORS, layout.CHECK_RESULTS}
    outputs: set[str] = set()
    last = {shard: latest_commit(store, shard) for shard in shard_names(settings.num_shards)}
    commits = {(shard, number) for shard, number in last.items() if number}
    for path in (folder / layout.INDEXES).iterdir():
        number = layout.number_of(path.name)
        named.add(layout.index(number))
        commits.update(read_index_head(store, number).commits.items())
        outputs.update(pq.read_table(path, columns=["output_sha256"])["output_sha256"].to_pylist())
    for shard, number in commits:
        named.add(layout.manifest(shard, number))
        head = read_manifest(store, shard, number, ["key"]).head
        named.update(layout.segment(head.recipe_id, segment) for segment in segments_of(store, head))
    for path in (folder / layout.VECTORS).rglob("*.parquet"):
        if outputs.intersection(pq.read_table(path, columns=["output_sha256"])["output_sha256"].to_pylist()):
            named.add(path.relative_to(folder).as_posix())
    found = {path.relative_to(folder).as_posix() for path in _files(folder)}
    others = (layout.LOGS, layout.EXPORTS, layout.MODELS)
    return {name for name in found - named if not name.startswith(others)}


def _vectors(settings: Settings) -> dict[str, list[float]]:
    table = pq.read_table(Path(settings.store) / layout.FEATURE_VECTORS)
    return dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())

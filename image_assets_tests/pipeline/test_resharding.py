"""Another number of shards: no image is read or decoded, the digest stays, and a kill in the middle costs nothing."""

import shutil
import stat
import subprocess
import sys

import pytest

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.sharding import bucket_of, bucket_range, parse_shard, shard_names
from image_assets.pipeline import resharding
from image_assets.pipeline.detect import RunOptions, committed_heads
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.resharding import reshard_dataset, stored_num_shards
from image_assets.pipeline.run import run_dataset, update_shards
from image_assets.pipeline.settings_file import write_num_shards
from image_assets.settings import load_settings
from image_assets.storage.store import Store
from image_assets.transforms.chain import Renderer
from image_assets_tests.images import image_bytes, write_image, write_images
from image_assets_tests.kills import KilledError, killed_at_write

COUNT = 24
RECIPE = {"output": {"quality": 50}}


@pytest.fixture
def raw(tmp_path):
    write_images(tmp_path / "raw", COUNT)
    return tmp_path / "raw"


@pytest.fixture
def renders(monkeypatch):
    """What is decoded, by really decoding it."""
    done, render = [], Renderer.render

    def noting(self, raw, sha256):
        done.append(sha256)
        return render(self, raw, sha256)

    monkeypatch.setattr(Renderer, "render", noting)
    return done


@pytest.fixture
def no_source(raw, tmp_path):
    """Take the source away for a while."""

    class Away:
        def __enter__(self):
            raw.rename(tmp_path / "aside")

        def __exit__(self, *exc):
            (tmp_path / "aside").rename(raw)

    return Away()


def killed_at_commit(number, *, after):
    """End the work at the n-th manifest that is committed."""
    return killed_at_write(number, after=after, counted=lambda path: "/manifests/" in path)


def names_of_files(folder):
    return [path.name for path in folder.iterdir()]


def spoil(raw, count):
    for number in range(count):
        (raw / f"a/bad{number}.jpg").write_bytes(image_bytes(number)[: 200 + number])


def reshard_to(settings, number):
    reshard_dataset(settings, number)


def run_with(settings, number):
    run_dataset(settings.model_copy(update={"num_shards": number}))


def quarantined(settings):
    """What is in quarantine, but for the date that moves with each commit."""
    found = quarantine_summary(settings)["quarantine"]
    return [{name: value for name, value in entry.items() if name != "last_seen"} for entry in found]


@pytest.mark.parametrize("numbers", [(64, 48, 16), (1, 16)])
def test_there_and_back_decodes_nothing_reads_no_source_and_keeps_the_digest(
    settings, raw, renders, no_source, numbers
):
    before = run_dataset(settings(num_shards=16)).index.head
    renders.clear()
    now = 16
    with no_source:
        for number in numbers:
            report = reshard_dataset(settings(num_shards=now), number)
            written = 0 if number == now else number
            assert (report.from_shards, report.to_shards, report.shards_written) == (now, number, written)
            assert report.digest == before.digest
            assert open_dataset(settings().store).head.num_shards == number
            now = number
    after = run_dataset(settings(num_shards=now))
    assert (renders, after.counts.kept, after.counts.hashed) == ([], COUNT, 0)
    assert all(shard.unchanged for shard in after.shards)
    assert after.index.head.digest == before.digest


def test_the_new_layout_has_every_image_once_and_in_its_shard(settings, raw):
    run_dataset(settings())
    reshard_dataset(settings(), 7)
    store = Store(settings().store)
    heads = committed_heads(store, shard_names(7))
    assert (len(heads), sum(head.images for head in heads.values())) == (7, COUNT)
    assert all(parse_shard(head.shard)[1] == 7 for head in heads.values())


def test_a_reader_of_the_old_snapshot_keeps_it(settings, raw):
    before = run_dataset(settings()).index.head
    reader = open_dataset(settings().store)
    pixels = [reader.image(row).tobytes() for row in range(COUNT)]
    reshard_dataset(settings(), 7)
    assert [reader.image(row).tobytes() for row in range(COUNT)] == pixels
    again = open_dataset(settings().store, snapshot=before.number)
    assert (again.head, [again.image(row).tobytes() for row in range(COUNT)]) == (before, pixels)


def test_after_resharding_only_what_changed_is_done(settings, raw, renders):
    run_dataset(settings())
    reshard_dataset(settings(), 16)
    renders.clear()
    write_image(raw, "a/new.jpg", 90)
    (raw / "a/0.jpg").rename(raw / "b/renamed.jpg")
    report = run_dataset(settings(num_shards=16))
    assert (len(renders), report.counts.new, report.counts.moved, report.counts.removed) == (1, 1, 1, 1)
    assert sum(not shard.unchanged for shard in report.shards) <= 3


@pytest.mark.parametrize(("commits", "after"), [(0, False), (1, True), (2, False)])
@pytest.mark.parametrize(("then", "number"), [(reshard_to, 3), (run_with, 3), (reshard_to, 2)])
def test_killed_at_any_commit_another_try_ends_the_same(settings, raw, renders, commits, after, then, number):
    before = run_dataset(settings()).index.head
    renders.clear()
    with killed_at_commit(commits, after=after), pytest.raises(KilledError):
        reshard_dataset(settings(), 3)
    assert open_dataset(settings().store).head == before
    then(settings(), number)
    end = open_dataset(settings().store).head
    assert (end.digest, end.num_shards, renders) == (before.digest, number, [])


def test_killed_and_gone_on_with_the_old_number_the_leftovers_do_not_count(settings, raw, renders):
    run_dataset(settings())
    with killed_at_commit(4, after=False), pytest.raises(KilledError):
        reshard_dataset(settings(), 7)
    write_image(raw, "a/0.jpg", 90)
    (raw / "b/1.jpg").unlink()
    before = run_dataset(settings()).index.head
    renders.clear()
    report = reshard_dataset(settings(), 7)
    assert (report.shards_written, report.digest, renders) == (7, before.digest, [])


def test_commits_that_no_index_holds_yet_are_carried_over_too(settings, raw, renders):
    run_dataset(settings())
    write_image(raw, "a/0.jpg", 90)
    update_shards(settings(), shard_names(4))
    renders.clear()
    digest = reshard_dataset(settings(), 7).digest
    report = run_dataset(settings(num_shards=7))
    assert (renders, report.counts.kept, report.index.head.digest) == ([], COUNT, digest)


def test_a_run_with_the_old_number_in_between_is_carried_over_too(settings, raw, monkeypatch):
    run_dataset(settings())
    commit, left = resharding.commit_manifest, [3]

    def overtaken(store, manifest):
        left[0] -= 1
        if not left[0]:
            write_image(raw, "a/new.jpg", 90)
            run_dataset(settings())
        commit(store, manifest)

    monkeypatch.setattr(resharding, "commit_manifest", overtaken)
    report = reshard_dataset(settings(), 7)
    assert open_dataset(settings().store).head.num_shards == report.to_shards == 7
    assert len(open_dataset(settings().store)) == COUNT + 1


def test_failed_images_keep_their_history_and_are_not_tried_again(settings, raw, renders):
    lenient = settings(checks={"failed_fraction": {"error": 1.0}})
    spoil(raw, 5)
    run_dataset(lenient)
    run_dataset(lenient, RunOptions(retry=frozenset({"truncated"})))
    before = quarantined(lenient)
    renders.clear()
    reshard_dataset(lenient, 7)
    assert quarantined(lenient) == before
    run_dataset(lenient.model_copy(update={"num_shards": 7}))
    assert (quarantined(lenient), renders) == (before, [])


@pytest.mark.parametrize("number", [1, 3, 7])
@pytest.mark.parametrize("known", [False, True], ids=["never published", "published before"])
def test_a_refused_shard_stays_refused_is_listed_and_is_not_decoded_again(settings, raw, renders, known, number):
    strict = settings(num_shards=2)
    shutil.rmtree(raw / "b")
    names = [f"a/{n}.jpg" for n in range(40)]
    rotten = names_in("1-of-2", names)
    if known:
        run_dataset(strict)
    for position, name in enumerate(rotten):
        (raw / name).write_bytes(image_bytes(position)[: 200 + position])
    first = run_dataset(strict)
    assert [shard.published for shard in first.shards] == [True, False]
    before = quarantined(strict)
    assert len(before) == len(rotten) > 8
    renders.clear()
    report = reshard_dataset(strict, number)
    assert report.digest == first.index.head.digest
    assert quarantined(strict) == before
    assert open_dataset(strict.store).head.num_shards == number
    again = run_dataset(strict.model_copy(update={"num_shards": number}))
    assert renders == []
    assert any(not shard.published for shard in again.shards)
    assert quarantined(strict.model_copy(update={"num_shards": number})) == before


def names_in(shard, names):
    """Those of the names whose images belong into a shard."""
    first, end = bucket_range(shard)
    return [name for name in names if first <= bucket_of(name) < end]


def test_a_recipe_that_reached_half_of_the_shards_reaches_the_others_after_it(settings, raw, renders):
    before = run_dataset(settings()).index.head
    renders.clear()
    update_shards(settings(**RECIPE), ["0-of-4", "1-of-4"])
    half = len(renders)
    report = reshard_dataset(settings(**RECIPE), 7)
    assert (report.digest, len(renders)) == (before.digest, half)
    end = run_dataset(settings(**RECIPE, num_shards=7))
    # No image is decoded twice for the new recipe: what the half had made is found by its bytes.
    assert 0 < half < len(renders) == COUNT
    scratch = run_dataset(settings(**RECIPE, store=str(raw.parent / "scratch")))
    assert end.index.head.digest == scratch.index.head.digest


def test_a_recipe_that_reached_half_of_the_new_shards_is_said_plainly_and_a_run_ends_it(settings, raw):
    before = run_dataset(settings()).index.head
    update_shards(settings(**RECIPE, num_shards=7), ["0-of-7"])
    with pytest.raises(DatasetError, match="still has 4 shards: a changed recipe has not reached every shard yet"):
        reshard_dataset(settings(**RECIPE), 7)
    assert open_dataset(settings().store).head == before
    assert run_dataset(settings(**RECIPE, num_shards=7)).index.head.num_shards == 7


def test_a_run_that_went_half_of_the_way_is_completed(settings, raw, renders):
    before = run_dataset(settings()).index.head
    update_shards(settings(num_shards=7), ["0-of-7", "3-of-7"])
    renders.clear()
    report = reshard_dataset(settings(num_shards=7), 7)
    assert (report.shards_written, report.digest, renders) == (5, before.digest, [])


def test_vectors_and_exports_follow_and_nothing_is_embedded_again(settings, raw, tmp_path):
    options = settings(features={"extractor": "colour-moments"}, exports=["csv"])
    run_dataset(options)
    vectors = open_dataset(options.store).vectors()
    reshard_dataset(options, 7)
    assert (open_dataset(options.store).vectors() == vectors).all()
    report = run_dataset(options.model_copy(update={"num_shards": 7}))
    assert report.embedded == 0


def test_an_empty_dataset_can_be_resharded(settings, raw):
    run_dataset(settings())
    shutil.rmtree(raw)
    raw.mkdir()
    run_dataset(settings(), RunOptions(allow_deletes=True))
    assert reshard_dataset(settings(), 7).rows_moved == 0
    write_image(raw, "a/0.jpg", 0)
    assert run_dataset(settings(num_shards=7)).index.head.rows == 1


@pytest.mark.parametrize("number", [0, -1, 4097, 10**9])
def test_a_number_that_no_dataset_can_have_is_refused_before_anything_is_written(settings, raw, number):
    before = run_dataset(settings()).index.head
    with pytest.raises(ConfigError, match=f"{number} shards are not possible; give 1 to 4096"):
        reshard_dataset(settings(), number)
    assert open_dataset(settings().store).head == before


def test_a_dataset_that_was_never_published_is_said_plainly(settings, raw):
    with pytest.raises(DatasetError, match="has no index yet; run it first"):
        reshard_dataset(settings(), 7)


def test_a_dataset_without_a_settings_file_keeps_the_number_in_its_store(settings, raw):
    assert stored_num_shards(settings(num_shards=5)) == 5
    run_dataset(settings())
    assert stored_num_shards(settings(num_shards=5)) == 4
    reshard_dataset(settings(), 7)
    assert stored_num_shards(settings(num_shards=5)) == 7


BASE = "name: shop\nsource: {path: raw}\nstore: kept\n"
FILES = [
    (f"{BASE}num_shards: 16\n", f"{BASE}num_shards: 64\n"),
    (f"# top\nnum_shards:   16   # few  \n{BASE}\n\n# end", f"# top\nnum_shards:   64   # few  \n{BASE}\n\n# end"),
    (f"{BASE}# num_shards: 16\n", f"{BASE}# num_shards: 16\nnum_shards: 64\n"),
    # Without the setting it is added, whatever the last line ends with.
    (BASE, f"{BASE}num_shards: 64\n"),
    (BASE.rstrip("\n"), f"{BASE}num_shards: 64\n"),
    (f"{BASE}# why", f"{BASE}# why\nnum_shards: 64\n"),
    (f"---\n{BASE}...\n", f"---\n{BASE}num_shards: 64\n...\n"),
    ("  name: shop\n  source: {path: raw}\n  store: kept\n",
     "  name: shop\n  source: {path: raw}\n  store: kept\n  num_shards: 64\n"),
    # Other line ends, and none at the end.
    (f"{BASE}num_shards: 16".replace("\n", "\r\n"), f"{BASE}num_shards: 64".replace("\n", "\r\n")),
    (BASE.replace("\n", "\r\n"), f"{BASE}num_shards: 64\n".replace("\n", "\r\n")),
    ("\ufeff" + BASE + "num_shards: 16\n", "\ufeff" + BASE + "num_shards: 64\n"),
    # Flow style.
    ("{name: shop, source: {path: raw}, store: kept, num_shards: 16}",
     "{name: shop, source: {path: raw}, store: kept, num_shards: 64}"),
    ("{name: shop, source: {path: raw}, store: kept}\n",
     "{num_shards: 64, name: shop, source: {path: raw}, store: kept}\n"),
    ("{\n  'num_shards' :\n    16, # few\n  name: shop, source: {path: raw}, store: kept}",
     "{\n  'num_shards' :\n    64, # few\n  name: shop, source: {path: raw}, store: kept}"),
    # Other spellings of a key and of a number.
    (f'{BASE}"num_shards" : "16"\n', f'{BASE}"num_shards" : 64\n'),
    (f"{BASE}num_shards: 0x10\n", f"{BASE}num_shards: 64\n"),
    (f"{BASE}num_shards: !!int 16 # x\n", f"{BASE}num_shards: !!int 64 # x\n"),
    # Words that only look like the setting.
    (f"{BASE}labels:\n  kind: none\n  label_column: |\n    num_shards: 3\nnum_shards: 16\n",
     f"{BASE}labels:\n  kind: none\n  label_column: |\n    num_shards: 3\nnum_shards: 64\n"),
    # An anchor that nothing else follows, a preset, and settings of other languages.
    (f"{BASE}num_shards: &n 16\n", f"{BASE}num_shards: &n 64\n"),
    (f"{BASE}preset: remux\nnum_shards: 16\n", f"{BASE}preset: remux\nnum_shards: 64\n"),
    (f"# 日本 🎈 é\n{BASE}num_shards: 16 # 🎈\n", f"# 日本 🎈 é\n{BASE}num_shards: 64 # 🎈\n"),
    (f"{BASE}num_shards: 64 # already\n", f"{BASE}num_shards: 64 # already\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), FILES)
def test_a_settings_file_gets_the_number_and_keeps_every_other_character(tmp_path, text, wanted):
    path = tmp_path / "shop.yaml"
    path.write_bytes(text.encode())
    path.chmod(0o640)
    before = load_settings(path)
    write_num_shards(path, 64)
    assert path.read_bytes().decode() == wanted
    assert load_settings(path) == before.model_copy(update={"num_shards": 64})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names_of_files(tmp_path) == ["shop.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        # Another setting would change with it.
        f"{BASE}num_shards: &n 16\nworkers: *n\n",
        f"{BASE}workers: &n 16\nnum_shards: *n\n",
    ],
)
def test_a_settings_file_that_cannot_be_changed_stays_and_the_line_is_named(tmp_path, text):
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"shop\.yaml cannot be changed .*; write `num_shards: 64` into it") as caught:
        write_num_shards(path, 64)
    assert "\n" not in str(caught.value)
    assert path.read_text() == text
    assert names_of_files(tmp_path) == ["shop.yaml"]


def test_a_number_in_a_merged_mapping_is_overruled_and_left_as_it_is(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(f"{BASE}<<: {{num_shards: 16, workers: 0}}\n")
    write_num_shards(path, 64)
    assert path.read_text() == f"{BASE}<<: {{num_shards: 16, workers: 0}}\nnum_shards: 64\n"
    assert (load_settings(path).num_shards, load_settings(path).workers) == (64, 0)


@pytest.mark.parametrize("number", [0, 4097])
def test_a_number_that_no_dataset_can_have_is_not_written(tmp_path, number):
    path = tmp_path / "shop.yaml"
    path.write_text(BASE)
    with pytest.raises(ConfigError, match="give 1 to 4096"):
        write_num_shards(path, number)
    assert path.read_text() == BASE


@pytest.mark.parametrize("link", ["../conf/shop.yaml", "absolute"])
def test_a_linked_settings_file_is_changed_where_it_lies_and_the_link_stays(tmp_path, link):
    real = tmp_path / "conf/shop.yaml"
    real.parent.mkdir()
    real.write_text(BASE)
    path = tmp_path / "datasets/shop.yaml"
    path.parent.mkdir()
    path.symlink_to(real if link == "absolute" else link)
    write_num_shards(path, 64)
    assert path.is_symlink()
    assert real.read_text() == f"{BASE}num_shards: 64\n"


def test_a_settings_file_that_may_not_be_written_is_one_clear_line_and_stays(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(BASE)
    path.chmod(0o444)
    # A superuser passes by file modes, so another user tries it.
    code = f"""
import os, pathlib
from image_assets.core.errors import ConfigError
from image_assets.pipeline.settings_file import write_num_shards
from image_assets_tests.faults.zygote import _obey_modes
os.getuid() or _obey_modes()
try:
    write_num_shards(pathlib.Path({str(path)!r}), 64)
except ConfigError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == (f"settings file {path} cannot be changed (Permission denied); write `num_shards: 64` into it\n")
    assert (path.read_text(), names_of_files(tmp_path)) == (BASE, ["shop.yaml"])
    path.write_text(f"{BASE}num_shards: 64\n")
    # Written by hand, there is nothing left to write.
    write_num_shards(path, 64)

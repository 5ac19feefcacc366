"""What a report says, where it lies, and when it is written again."""

import re
from collections.abc import Callable

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from PIL import Image

from image_assets.cli import main
from image_assets.core.errors import DatasetError
from image_assets.core.words import percent, size
from image_assets.pipeline.following import follow_index
from image_assets.pipeline.forget import forget_summary
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.report.building import build_report, write_report
from image_assets.pipeline.report.markup import Markup, element, isolated
from image_assets.pipeline.report.rows import Smallest, ValueCounts
from image_assets.pipeline.run import RunOptions, run_dataset
from image_assets.settings import Settings
from image_assets.sources.object_stores import open_object_store
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images
from image_assets_tests.pipeline.reports import EVIL, text_of


def stored(settings: Settings) -> bytes:
    return open_store(settings).get(layout.REPORT).to_pybytes()


def test_it_is_written_again_only_when_it_is_not_true_any_more(tmp_path):
    (tmp_path / "raw").mkdir()
    write_images(tmp_path / "raw", 3)
    settings = make_settings_for(tmp_path, report={"enabled": True})
    run_dataset(settings)
    page = stored(settings)
    assert follow_index(settings, rejudge=False)["dataset_report"].facts["pictures"] == 3
    assert build_report(settings).size_bytes == 0
    # Thrown away, damaged, or with other settings it is made anew: the first two are the same to the byte.
    for change in (lambda path: path.unlink(), lambda path: path.write_bytes(page[:200])):
        change(tmp_path / "store/report.html")
        assert build_report(settings).size_bytes == len(page)
        assert stored(settings) == page
    fewer = make_settings_for(tmp_path, report={"enabled": True, "images_per_label": 1})
    assert build_report(fewer).facts["pictures"] == 2
    write_images(tmp_path / "raw", 4)
    run_dataset(settings)
    assert "4 images in 2 labels" in text_of(stored(settings))


def test_after_forgetting_nothing_of_an_image_is_in_it(tmp_path):
    (tmp_path / "raw").mkdir()
    write_images(tmp_path / "raw", 3)
    settings = make_settings_for(tmp_path, report={"enabled": True})
    run_dataset(settings)
    assert b"0.jpg" in stored(settings)
    (tmp_path / "raw/a/0.jpg").unlink()
    forget_summary(settings, ["a/0.jpg"])
    path = tmp_path / "store/report.html"
    assert not path.exists() or b"0.jpg" not in path.read_bytes()


def test_in_a_bucket_it_is_the_same_but_for_the_places(tmp_path, s3, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = s3.url(bucket := s3.new_bucket(), "raw")
    whole = image_bytes(50, size=(400, 300))
    images = {f"{'ab'[number % 2]}/{number}.jpg": image_bytes(number) for number in range(4)}
    for name, data in {**images, "a/half.jpg": whole[: len(whole) // 2]}.items():
        obstore.put(open_object_store(url), name, data)
    settings = make_settings_for(
        tmp_path, source={"path": url}, store=s3.url(bucket, "store"), report={"enabled": True}
    )
    run_dataset(settings)
    assert build_report(settings).size_bytes == 0
    page = stored(settings)
    assert page.count(b'src="data:image/webp') == 5
    assert b"truncated, half.jpg, what is left of it" in page


def test_labels_and_splits_are_counted_as_they_are_and_those_without_a_sheet_named(tmp_path):
    for number in range(12):
        write_image(tmp_path / "raw", f"label {number % 5}/{number}.jpg", number)
    write_image(tmp_path / "raw", "no label.jpg", 50)
    settings = make_settings_for(tmp_path, splits={"method": "fractions"}, report={"labels": 2})
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["label", "split"]).to_pylist()
    write_report(settings, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    said = text_of(page)
    assert "13 images in 5 labels" in said
    assert "3 more labels without a sheet here (report.labels is 2)" in said
    assert re.findall(r"<summary><h3><\w+>(.*?)</", page) == ["label 0", "label 1", "without a label"]
    for label in sorted({row["label"] for row in rows} - {None}):
        counts = [sum(row == {"label": label, "split": split} for row in rows) for split in ("train", "val", "test")]
        assert f"{label} {' '.join(map(str, counts))} " in said
    for split in ("train", "val", "test"):
        assert f"{split} {sum(row['split'] == split for row in rows)} " in said


@pytest.mark.parametrize(
    ("images", "failed", "says"),
    [
        (0, 0, "There is no image in this snapshot."),
        (1, 0, "1 image in 1 label; none failed."),
        (0, 2, "0 images without labels; 2 failed."),
    ],
)
def test_next_to_nothing_has_a_report_too(tmp_path, images, failed, says):
    (tmp_path / "raw").mkdir()
    write_images(tmp_path / "raw", images)
    for number in range(failed):
        (tmp_path / f"raw/{number}.jpg").write_bytes(bytes([number]) * 99)
    settings = make_settings_for(tmp_path, checks={"failed_fraction": {"error": 1.0}})
    if not images and not failed:
        # Nothing at all can only be what is left.
        write_images(tmp_path / "raw", 1)
        run_dataset(settings)
        (tmp_path / "raw/a/0.jpg").unlink()
    run_dataset(settings, RunOptions(allow_deletes=True))
    write_report(settings, tmp_path / "report.html")
    said = text_of((tmp_path / "report.html").read_bytes())
    assert says in said
    # What is off says what turns it on.
    for off in ("splits.method", "duplicates.enabled: true", "quality.enabled: true"):
        assert off in said


def test_pictures_that_do_not_fit_are_left_out_and_those_of_the_largest_numbers_first(tmp_path):
    for number in range(40):
        path = tmp_path / "raw" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).resize((160, 160)).save(path)
    settings = make_settings_for(
        tmp_path, image={"width_px": 160, "height_px": 160}, report={"max_mb": 0.05, "images_per_label": 20}
    )
    run_dataset(settings)
    summary = write_report(settings, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert 30_000 < sum(map(len, re.findall(r'data:image/webp;base64,[^"]*', page))) <= 50_000
    assert summary["pictures"] + summary["pictures_left_out"] == 40
    assert page.count('class="left-out"') == summary["pictures_left_out"] > 2
    assert f"{summary['pictures_left_out']} pictures did not fit" in text_of(page)
    # Of both labels about as many.
    shown = [sheet.count("<img") for sheet in re.findall(r'<details open class="block">.*?</details>', page)]
    assert abs(shown[0] - shown[1]) <= 1


def test_the_command_writes_a_file_and_nothing_into_a_store_that_cannot_be_written(tmp_path, settings):
    write_images(tmp_path / "raw", 3)
    made = settings()
    run_dataset(made)
    before = sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    (tmp_path / "tiny.yaml").write_text("name: tiny\nsource: {path: raw}\nstore: store\nnum_shards: 4\nworkers: 0\n")
    out, config = tmp_path / "r.html", ["--config", str(tmp_path / "tiny.yaml")]
    answer = CliRunner().invoke(main, ["report", *config, "--out", str(out), "--json"])
    assert answer.exit_code == 0, answer.output
    assert out.stat().st_size == int(re.search(r'"size_bytes": (\d+)', answer.output)[1])
    assert sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file()) == before
    for wrong, says in ((tmp_path, "is a folder"), (tmp_path / "no/r.html", "there is no folder")):
        answer = CliRunner().invoke(main, ["report", *config, "--out", str(wrong)])
        assert (answer.exit_code, says in answer.output) == (2, True)


def test_a_dataset_that_was_never_published_has_none(settings: Callable[..., Settings], tmp_path):
    with pytest.raises(DatasetError, match="image-assets run"):
        write_report(settings(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_what_strangers_wrote_is_text():
    assert element("p", EVIL, title='"><b>') == (
        '<p title="&quot;&gt;&lt;b&gt;">&lt;script&gt;document.title=&quot;taken&quot;&lt;</p>'
    )
    assert isolated("a\u202eb\nc") == "<bdi>a\\u202eb\\nc</bdi>"
    assert isolated("a" * 2000) == f"<bdi>{'a' * 1023}…</bdi>"
    assert element("p", [Markup("<b>"), None, 3]) == "<p><b>3</p>"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 3, "0.0%"),
        (1, 3, "33.3%"),
        (1, 10_000, "< 0.1%"),
        (9_999, 10_000, "> 99.9%"),
        (3, 3, "100.0%"),
        (0, 0, "none"),
    ],
)
def test_a_share_never_reads_like_nothing_or_all_when_it_is_not(part, whole, words):
    assert percent(part, whole) == words


@pytest.mark.parametrize(
    ("size_bytes", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (2.5e9, "2.5 GB")]
)
def test_bytes_are_said_in_the_largest_unit(size_bytes, words):
    assert size(size_bytes) == words


def test_rows_are_counted_and_the_smallest_of_each_group_kept_as_if_all_were_held():
    counter, smallest = ValueCounts(["label"]), Smallest("label", "id", 2)
    for first in range(0, 98_000, 7_000):
        numbers = range(first, first + 7_000)
        labels = [None if number % 7 == 0 else f"label {number % 70_000}" for number in numbers]
        counter.add(pa.table({"label": labels}))
        kept = [None if number % 3 == 0 else "ab"[number % 2] for number in numbers]
        smallest.add(pa.table({"label": kept, "id": [f"{(number * 7919) % 200_003:08d}" for number in numbers]}))
    counts = counter.counts()
    assert counts.num_rows == 60_001
    assert counts.slice(0, 1).to_pylist() == [{"label": None, "count_all": 14_000}]
    assert pc.sum(counts["count_all"]).as_py() == 98_000
    found = smallest.rows().to_pylist()
    every = sorted((f"{(number * 7919) % 200_003:08d}", number) for number in range(98_000))
    wanted = {label: [] for label in ("a", "b", None)}
    for mark, number in every:
        wanted[None if number % 3 == 0 else "ab"[number % 2]].append(mark)
    assert [(row["label"], row["id"]) for row in found] == [
        (label, mark) for label in wanted for mark in wanted[label][:2]
    ]

"""`image-assets init`: what it sees, what it chooses, and a file that cannot go stale."""

import json
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from image_assets.cli import main
from image_assets.pipeline.beginning import looking
from image_assets.pipeline.beginning.choosing import Choice, choose, dataset_name
from image_assets.pipeline.beginning.looking import look_at
from image_assets.pipeline.beginning.writing import settings_text
from image_assets.settings import Settings, load_settings, make_settings
from image_assets_tests.containers import write_tar
from image_assets_tests.images import image_bytes, write_image, write_images
from image_assets_tests.servers import s3_client

NEEDED = [Choice("name", "x", "its name"), Choice("source.path", "raw", "where"), Choice("store", "kept", "where to")]
COMMENTED = re.compile(r"^( *)#(?=[a-z_0-9]+:)", re.MULTILINE)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*arguments):
    done = CliRunner().invoke(main, list(map(str, arguments)), prog_name="image-assets")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def chosen(place, **more):
    return {choice.setting: choice.value for choice in choose(look_at(str(place), **more))}


def all_settings(model=Settings, prefix=""):
    for name, field in model.model_fields.items():
        inner = field.annotation
        yield f"{prefix}{name}"
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            yield from all_settings(inner, f"{prefix}{name}.")


def test_uncommenting_everything_is_a_valid_file_equal_to_the_defaults(tmp_path):
    text = settings_text(NEEDED)
    plain = make_settings({"name": "x", "source": {"path": "raw"}, "store": "kept"}, base=tmp_path)
    for content in (text, COMMENTED.sub(r"\1", text)):
        assert make_settings(yaml.safe_load(content), base=tmp_path).model_dump() == plain.model_dump()


def test_every_setting_that_exists_stands_in_the_file_with_what_it_means():
    whole = yaml.safe_load(COMMENTED.sub(r"\1", settings_text(NEEDED)))
    for setting in all_settings():
        content = whole
        for step in setting.split("."):
            assert step in content, setting
            content = content[step]
    lines = [line for line in settings_text(NEEDED).splitlines() if COMMENTED.match(line) and not line.endswith(":")]
    assert [line for line in lines if "  # " not in line] == []


def test_a_run_right_after_init_works_and_init_writes_over_nothing(here):
    write_images(here / "raw", 6)
    done = called("init", "raw", "--json")
    summary = json.loads(done.stdout)
    assert (summary["images"], summary["next"][1]) == (6, "image-assets run --config raw")
    path = here / "data/datasets/raw.yaml"
    assert load_settings(path).source.path == str(here / "raw")
    assert [path.name for path in path.parent.iterdir()] == ["raw.yaml"]
    text = path.read_text()
    done = called("init", "raw")
    assert (done.exit_code, "--force writes over it" in done.stderr, path.read_text()) == (2, True, text)
    assert "already is a dataset named 'raw'" in called("init", "raw", "--out", "data/datasets/other.yaml").stderr
    assert called("init", "raw", "--force", "-q").output == ""
    run = called("run", "--features", "none", "--workers", "0", "--json")
    assert (run.exit_code, json.loads(run.stdout)["images_processed"]) == (0, 6)
    # Where it was looked from makes no difference to where things are.
    assert json.loads(run.stdout)["store"] == str(here / "data/store/raw")


def test_a_store_given_on_the_command_line_starts_from_here_and_what_is_made_is_not_raw(here):
    write_images(here / "raw", 2)
    assert called("init", "raw", "--store", "kept", "-q").exit_code == 0
    run = called("run", "--features", "none", "--workers", "0", "--json")
    assert json.loads(run.stdout)["store"] == str(here / "kept")
    seen = json.loads(called("init", ".", "--name", "all", "--json").stdout)
    assert (seen["images"], any("table" in line for line in seen["seen"])) == (2, False)


def test_a_look_counts_as_a_run_does(here):
    write_images(here / "raw", 2)
    for name in ("drawing.wmf", "paper.pdf", "README"):
        (here / "raw" / name).write_bytes(b"x")
    seen = json.loads(called("init", "raw", "--json").stdout)
    plan = json.loads(called("plan", "--features", "none", "--json").stdout)
    assert seen["images"] == plan["new"] == 3


def write_corpus(folder):
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            write_image(folder / "splits", f"{split}/{label}/1.jpg", len(split + label))
    for day in ("2024-05-31", "2024-06-01"):
        write_image(folder / "days", f"{day}/{day}.jpg", 3)
    write_images(folder / "listed", 4)
    (folder / "listed/labels.csv").write_text("file_name,class\na/0.jpg,cat\n")
    (folder / "flat").mkdir()
    for number in range(3):
        Image.new("L", (300, 280), number).save(folder / f"flat/{number}.png")
    (folder / "packed").mkdir()
    write_tar(folder / "packed/one.tar", {"a/1.jpg": image_bytes(1)})
    write_tar(folder / "one.tar", {"a/1.jpg": image_bytes(1)})
    with zipfile.ZipFile(folder / "one.zip", "w") as archive:
        archive.writestr("a/1.jpg", image_bytes(1))
    table = pa.table({"url": ["https://example.org/1.jpg"] * 20_000, "Category": ["cat"] * 20_000})
    pq.write_table(table, folder / "rows.parquet")
    (folder / "urls.txt").write_text("https://example.org/1.jpg\n")
    (folder / "empty").mkdir()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("splits", {"labels.kind": "directory", "splits.method": "column", "splits.column": "top_folder"}),
        ("days", {"labels.kind": "none", "quality.label_coverage.min_fraction": 0.0}),
        ("listed", {"labels.kind": "file", "labels.key_column": "file_name", "labels.label_column": "class"}),
        ("flat", {"labels.kind": "none", "image.mode": "L", "image.width_px": 224}),
        ("packed", {"source.kind": "archives"}),
        ("one.tar", {"splits.method": "none"}),
        ("one.zip", {"num_shards": 16}),
        ("urls.txt", {"splits.method": "none"}),
        ("rows.parquet", {"source.label_column": "Category", "num_shards": 32, "splits.method": "fractions"}),
        # Settings for what will come.
        ("empty", {"num_shards": 16, "splits.method": "none"}),
    ],
)
def test_what_is_chosen_follows_from_what_is_there(here, place, expected):
    write_corpus(here)
    assert chosen(here / place).items() >= expected.items()
    assert called("init", place).exit_code == 0
    load_settings(next((here / "data/datasets").iterdir()))


def test_a_look_ends_however_much_there_is_and_says_so(here, monkeypatch):
    write_images(here / "raw", 40)
    monkeypatch.setattr(looking, "_MAX_FILES", 20)
    look = look_at("raw")
    assert (look.complete, look.images) == (False, 20)
    assert chosen("raw")["num_shards"] == 64
    assert "at least 20 images" in called("init", "raw").stdout


def test_turned_broken_repeated_and_odd_files_are_told(here):
    write_images(here / "raw", 2)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 40)).save(here / "raw/turned.jpg", exif=exif)
    (here / "raw/copy.jpg").write_bytes((here / "raw/turned.jpg").read_bytes())
    (here / "raw/broken.jpg").write_bytes(b"rubbish")
    (here / "raw/nothing.jpg").symlink_to(here / "nowhere")
    (here / "raw/round").symlink_to(here / "raw")
    (here / "raw/.hidden.jpg").write_bytes(b"x")
    (here / "raw/notes.txt").write_text("x")
    said = called("init", "raw").stdout
    assert "found   5 images (5 jpg)" in said
    assert "2 of 4 images that were opened are turned by EXIF" in said
    assert "1 of 5 could not be opened: 'broken.jpg'" in said
    assert "1 of 1 pairs of one size that were compared are copies" in said
    assert "1 other file (1 .txt), left out" in said


@pytest.mark.parametrize("name", ["we'ird # | name\nx: [y]", "a: b", "{x}", "日本", "-dash", "%TAG", "*a", "null"])
def test_a_folder_of_any_name_gets_a_file_that_leads_to_it(here, name):
    write_images(here / name, 1)
    assert called("init", "--", name).exit_code == 0
    path = next((here / "data/datasets").iterdir())
    assert load_settings(path).source.path == str(here / name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["raw/a/0.jpg"], "is a file, not a folder"),
        (["half.tar"], "cannot be read"),
        (["half.zip"], "cannot be read"),
        (["half.parquet"], "cannot be read"),
        (["latin.csv"], "cannot be read"),
        (["https://example.org/x"], "is no folder and no bucket"),
        (["raw", "--name", "No Name"], "'No Name' is no name of a dataset"),
        (["raw", "--kind", "tabels"], "unknown source 'tabels'"),
        (["raw", "--out", "raw/a/0.jpg/x.yaml"], "cannot be written"),
        (["bad\udcff"], "is no UTF-8; rename the folder"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(here, arguments, says):
    write_images(here / "raw", 1)
    for name in ("half.tar", "half.zip", "half.parquet", "latin.csv"):
        (here / name).write_bytes(b"\xe9\xff" * 400)
    done = called("init", *arguments)
    assert done.exit_code == (1 if says == "cannot be read" else 2)
    assert (done.stderr.count("\n"), says in done.stderr) == (1, True), done.stderr
    assert not (here / "data").exists()


def test_a_bucket_is_looked_at_by_its_names(here, s3):
    bucket = s3.new_bucket()
    for number in range(3):
        s3_client(s3).put_object(Bucket=bucket, Key=f"raw/cat/{number}.jpg", Body=b"x")
    done = called("init", s3.url(bucket, "raw"))
    assert "found   3 images (3 jpg)" in done.stdout, done.stderr
    for one_file in (s3.url(bucket, "one.tar"), "hf://owner/name"):
        assert "counted by the first run" in called("init", one_file).stdout
    settings = load_settings(here / "data/datasets/raw.yaml")
    assert (settings.source.path, settings.labels.kind) == (s3.url(bucket, "raw"), "directory")


def test_names_come_from_places():
    for place, name in [("/x/My Photos", "my_photos"), ("s3://b/raw/?region=x", "raw"), ("/x/2024", "images_2024")]:
        assert dataset_name(place) == name
    assert dataset_name("/x/p.tar.gz") == "p"
    assert Path(dataset_name("/")).name == "images"

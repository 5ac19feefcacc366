"""Searching for similar images: exactly, approximately, by key and by file."""

import importlib.util
import io
import json

import numpy as np
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from PIL import Image

from image_assets.cli import main
from image_assets.core.errors import ConfigError, DatasetError, MissingExtraError, StoreError
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.similar import ImageSearch, similar_summary
from image_assets.pipeline.similarity_index import build_similarity
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets.storage.similar import content_keys, opened_graph, read_similarity_head
from image_assets_tests.images import image_bytes, make_settings_for, write_image, write_images

COLOURS = {"extractor": "colour-moments"}
APPROXIMATE = {"approximate": True, "exact_below_rows": 0}
needs_usearch = pytest.mark.skipif(
    importlib.util.find_spec("usearch") is None, reason="needs usearch, which is an extra"
)
WAYS = ["exact", pytest.param("approximate", marks=needs_usearch)]


def settings_for(folder, *, way="exact", **overrides):
    similarity = APPROXIMATE if way == "approximate" else {}
    return make_settings_for(folder, **{"features": COLOURS, "similarity": similarity, **overrides})


def brute(settings, vector, *, leave_out=None):
    """(key, cosine) of every image, by comparing with all its plain outputs; the nearest first."""
    best = {}
    with open_dataset(settings.store) as dataset:
        rows, vectors = dataset.table(["key", "variant"]).to_pylist(), dataset.vectors().astype(np.float64)
        per_frame = dataset.head.outputs_a_frame or 10**6
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row, cosine in zip(rows, units @ (vector / np.linalg.norm(vector)), strict=True):
        if row["variant"] % per_frame == 0 and row["key"] != leave_out:
            best[row["key"]] = max(cosine, best.get(row["key"], -2))
    return sorted(best.items(), key=lambda pair: -pair[1])


def pairs(summary):
    return [(image["key"], pytest.approx(image["similarity"], abs=1e-6)) for image in summary["images"]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_nearest_images_are_found_without_the_one_asked_about_and_its_variants(tmp_path, way, dtype):
    write_images(tmp_path / "raw", 30)
    settings = settings_for(tmp_path, way=way, features={**COLOURS, "dtype": dtype}, augment={"variants": 2})
    run_dataset(settings)
    with open_dataset(settings.store) as dataset:
        vector = dataset.vector(dataset.table(["key"])["key"].to_pylist().index("a/4.jpg"))
    summary = similar_summary(settings, "a/4.jpg", k=7)
    assert (summary["query_is"], summary["search"]) == ("key", way)
    assert brute(settings, vector.astype(np.float64), leave_out="a/4.jpg")[:7] == pairs(summary)
    assert {image["variant"] for image in summary["images"]} == {0}


@pytest.mark.parametrize("way", WAYS)
def test_of_an_image_with_frames_the_best_one_counts(tmp_path, way):
    write_images(tmp_path / "raw", 12)
    frames = [Image.open(tmp_path / "raw" / f"{'ab'[n % 2]}/{n}.jpg") for n in (3, 5, 7)]
    frames[0].save(tmp_path / "raw" / "film.gif", save_all=True, append_images=frames[1:])
    settings = settings_for(tmp_path, way=way, image={"width_px": 16, "height_px": 16, "frames": "all"})
    run_dataset(settings)
    assert [image["key"] for image in similar_summary(settings, "b/5.jpg", k=12)["images"]].count("film.gif") == 1
    first = similar_summary(settings, "b/5.jpg", k=1)["images"][0]
    assert (first["key"], first["variant"]) == ("film.gif", 1)


def test_a_file_goes_through_the_recipe_of_the_dataset(tmp_path):
    write_images(tmp_path / "raw", 9)
    settings = settings_for(tmp_path, transforms=["grayscale"], augment={"variants": 1}, output={"format": "png"})
    run_dataset(settings)
    asked = tmp_path / "asked.jpg"
    asked.write_bytes((tmp_path / "raw" / "b/3.jpg").read_bytes())
    summary = similar_summary(settings, str(asked), k=2)
    assert summary["query_is"] == "file"
    assert (summary["images"][0]["key"], summary["images"][0]["label"]) == ("b/3.jpg", "b")
    assert summary["images"][0]["similarity"] == pytest.approx(1, abs=1e-6)


def test_copies_are_images_of_their_own_and_come_in_the_order_of_the_index(tmp_path):
    write_images(tmp_path / "raw", 4)
    for name in ("c/copy.jpg", "d/copy.jpg"):
        write_image(tmp_path / "raw", name, 2)
    found = similar_summary(run_and_return(settings_for(tmp_path)), "a/2.jpg", k=2)["images"]
    assert {image["key"] for image in found} == {"c/copy.jpg", "d/copy.jpg"}
    assert [image["row"] for image in found] == sorted(image["row"] for image in found)


def run_and_return(settings):
    run_dataset(settings)
    return settings


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing.jpg", "'nothing.jpg' is no image of .* and no file; give a key or a path"),
        ("words.jpg", "words.jpg is no image that can be searched for: not_an_image, "),
        ("half.jpg", "half.jpg is no image that can be searched for: truncated, "),
    ],
)
def test_what_cannot_be_searched_for_is_one_line(tmp_path, monkeypatch, what, message):
    write_images(tmp_path / "raw", 2)
    settings = run_and_return(settings_for(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.jpg").write_text("words")
    (tmp_path / "half.jpg").write_bytes(image_bytes(1, size=(400, 300))[:2500])
    with pytest.raises(DatasetError, match=message) as caught:
        similar_summary(settings, what)
    assert "\n" not in str(caught.value)


def test_other_outputs_than_the_dataset_has_are_not_compared_with_it(tmp_path):
    file = write_images(tmp_path / "raw", 2)[0]
    run_dataset(settings_for(tmp_path))
    with pytest.raises(DatasetError, match="run again first"):
        similar_summary(settings_for(tmp_path, transforms=["grayscale"]), str(file))


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_count_out_of_range_is_refused(tmp_path, k):
    with pytest.raises(ConfigError, match="ask for 1 to 1000"):
        similar_summary(settings_for(tmp_path), "a/0.jpg", k=k)


def test_one_image_has_nothing_similar_and_without_a_dataset_there_is_nothing(tmp_path):
    write_images(tmp_path / "raw", 1)
    with pytest.raises(DatasetError):
        similar_summary(settings_for(tmp_path), "a/0.jpg")
    assert similar_summary(run_and_return(settings_for(tmp_path)), "a/0.jpg")["images"] == []


def test_a_vector_of_another_length_is_refused(tmp_path):
    write_images(tmp_path / "raw", 1)
    settings = run_and_return(settings_for(tmp_path))
    with open_dataset(settings.store) as dataset, ImageSearch(dataset) as search:
        with pytest.raises(ConfigError, match=r"these have shape \(144,\)"):
            search.nearest(np.zeros(3, np.float32))
        assert search.nearest(np.zeros(144, np.float32))[0].similarity == 0


def graph_of(settings):
    """The keys in the graph, and those that the newest index wants."""
    store = open_store(settings)
    with open_dataset(settings.store) as dataset:
        rows = dataset.table(["output_sha256", "variant"])
        wanted = rows.filter(pc.equal(rows["variant"], 0))["output_sha256"].to_pylist()
    with opened_graph(store, read_similarity_head(store), to_change=True) as graph:
        return {*graph.keys().tolist()}, {*content_keys(wanted).tolist()}


@needs_usearch
def test_the_graph_follows_what_comes_and_goes_by_content(tmp_path):
    write_images(tmp_path / "raw", 20)
    settings = settings_for(tmp_path, way="approximate", augment={"variants": 1})
    run_dataset(settings)
    steps = []
    for change in (
        lambda: write_images(tmp_path / "raw", 3, first=50),
        lambda: (tmp_path / "raw" / "a/0.jpg").rename(tmp_path / "raw" / "a/other.jpg"),
        (tmp_path / "raw" / "a/2.jpg").unlink,
        lambda: write_image(tmp_path / "raw", "c/copy.jpg", 4),
        lambda: [(tmp_path / "raw" / f"b/{number}.jpg").unlink() for number in (1, 3, 5, 7, 9)],
    ):
        change()
        report = run_dataset(settings).followed["similarity_index"]
        steps.append((report.added, report.removed, report.graph.removed))
        has, wanted = graph_of(settings)
        assert has == wanted
    # More than a quarter was taken out at last: the graph is a new one.
    assert steps == [(3, 0, 0), (0, 0, 0), (0, 1, 1), (0, 0, 1), (17, 5, 0)]
    assert len(list(open_store(settings).list(layout.SIMILARITY))) == 2
    assert build_similarity(settings).added == 0


@needs_usearch
def test_another_extractor_or_type_makes_the_graph_anew_and_a_small_dataset_has_none(tmp_path):
    write_images(tmp_path / "raw", 6)
    run_dataset(settings_for(tmp_path, way="approximate"))
    halves = settings_for(tmp_path, way="approximate", features={**COLOURS, "dtype": "float16"})
    assert run_dataset(halves).followed["similarity_index"].added == 6
    small = settings_for(tmp_path, similarity={"approximate": True, "exact_below_rows": 7})
    assert run_dataset(small).followed["similarity_index"].facts["search"] == "exact"
    assert list(open_store(small).list(layout.SIMILARITY)) == []
    assert similar_summary(small, "a/0.jpg")["search"] == "exact"


@needs_usearch
def test_nothing_of_a_forgotten_image_stays_in_the_graph(tmp_path):
    write_images(tmp_path / "raw", 8)
    settings = settings_for(tmp_path, way="approximate")
    run_dataset(settings)
    (tmp_path / "raw" / "a/2.jpg").unlink()
    run_dataset(settings)  # it is taken out of the graph, where its numbers still are
    before = read_similarity_head(open_store(settings))
    forget_images(settings, ["a/2.jpg"])
    after = read_similarity_head(open_store(settings))
    assert (before.removed, after.removed, after.vectors) == (1, 0, 7)
    assert before.graph != after.graph
    assert [file.path for file in open_store(settings).list(layout.SIMILARITY) if before.graph in file.path] == []


@needs_usearch
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9])])
def test_a_damaged_graph_is_named_with_what_would_do(tmp_path, damage):
    write_images(tmp_path / "raw", 4)
    settings = settings_for(tmp_path, way="approximate")
    run_dataset(settings)
    damage(next((tmp_path / "store" / "similarity").glob("*.usearch")))
    with pytest.raises(StoreError, match=r"usearch is damaged or gone; delete similarity/head\.json and run again"):
        similar_summary(settings, "a/0.jpg")
    (tmp_path / "store" / "similarity" / "head.json").unlink()
    assert similar_summary(settings, "a/0.jpg")["search"] == "approximate"


@needs_usearch
def test_a_kill_between_graph_and_head_leaves_the_one_before(tmp_path, monkeypatch):
    write_images(tmp_path / "raw", 4)
    settings = settings_for(tmp_path, way="approximate")
    run_dataset(settings)
    write_images(tmp_path / "raw", 2, first=10)
    store_class, really_put = type(open_store(settings)), type(open_store(settings)).put

    def dying(self, path, data):
        if path == layout.SIMILARITY_HEAD:
            raise KeyboardInterrupt
        really_put(self, path, data)

    monkeypatch.setattr(store_class, "put", dying)
    with pytest.raises(KeyboardInterrupt):
        run_dataset(settings)
    monkeypatch.undo()
    assert read_similarity_head(open_store(settings)).vectors == 4
    assert run_dataset(settings).followed["similarity_index"].added == 2
    assert len(list(open_store(settings).list(layout.SIMILARITY))) == 2


@pytest.mark.skipif(needs_usearch.args[0] is False, reason="usearch is installed")
def test_without_usearch_an_approximate_index_is_an_error_that_says_what_to_install(tmp_path):
    write_images(tmp_path / "raw", 2)
    with pytest.raises(MissingExtraError, match=r"pip install 'image_assets\[similar\]'"):
        run_dataset(settings_for(tmp_path, way="approximate"))
    assert similar_summary(settings_for(tmp_path, way="approximate"), "a/0.jpg", exact=True)["search"] == "exact"


def test_the_command_prints_a_table_or_json(tmp_path):
    write_images(tmp_path / "raw", 3)
    run_dataset(settings_for(tmp_path))
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(settings_for(tmp_path).model_dump(mode="json", exclude_defaults=True)))
    told = CliRunner().invoke(main, ["similar", "a/0.jpg", "--config", str(config), "-k", "1", "--json"])
    assert told.exit_code == 0, told.output
    best = json.loads(told.output)["images"][0]
    table = CliRunner().invoke(main, ["similar", "a/0.jpg", "--config", str(config), "-k", "1"]).output
    assert table.splitlines()[1].split() == [f"{best['similarity']:.4f}", best["label"], best["key"]]
    wrong = CliRunner().invoke(main, ["similar", "nothing", "--config", str(config)])
    assert (wrong.exit_code, wrong.output.count("\n")) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_store_in_a_bucket_is_searched_like_a_folder(tmp_path, s3, way):
    write_images(tmp_path / "raw", 8)
    files = {**COLOURS, "files": ["numpy"]}
    here = settings_for(tmp_path, way=way, features=files)
    there = settings_for(tmp_path, way=way, features=files, store=s3.url(s3.new_bucket(), "store"))
    found = [similar_summary(run_and_return(settings), "a/0.jpg", k=3) for settings in (here, there)]
    assert found[0] == found[1]
    forget_images(there, ["a/0.jpg"])
    store = open_store(there)
    assert np.load(io.BytesIO(store.get("feature_vectors.npy").to_pybytes())).shape == (7, 144)
    assert similar_summary(there, "b/1.jpg", k=9)["search"] == way

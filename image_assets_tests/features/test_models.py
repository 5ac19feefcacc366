"""Models that are named by a file or an id: what they are shown, which output is taken, and that they are the ones."""

import hashlib
import pickle
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from image_assets.core.errors import ConfigError
from image_assets.features import build_extractor, extractor_digest, features_word
from image_assets.features.model_input import ModelInput, as_numbers, seen_pixels
from image_assets.settings import load_settings
from image_assets.settings.features import FeatureSettings, ModelInputSettings
from image_assets_tests.features.models import CLASSES, DIM, features_of, write_onnx

IMAGE = np.random.default_rng(5).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def embed(path, image=IMAGE, **features):
    settings = FeatureSettings(extractor=f"onnx:{path}", **features)
    return build_extractor(settings, cache_dir=Path("/nowhere"), threads=1).embed(image[np.newaxis])[0]


@pytest.mark.parametrize(("output", "dim"), [(None, CLASSES), ("pooled", DIM), ("map", DIM), ("logits", CLASSES)])
def test_an_output_or_an_inner_tensor_is_the_vector_and_a_map_is_averaged(tmp_path, output, dim):
    path = write_onnx(tmp_path / "model.onnx")
    vector = embed(path, output=output)
    assert vector.shape == (dim,)
    if output == "map":
        np.testing.assert_allclose(vector, embed(path, output="pooled"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "kind", "settings"),
    [
        (("n", 32, 32, 3), "float", {}),
        ((1, 3, 32, 32), "float", {}),
        ((4, 3, 32, 32), "float", {}),  # never fewer than four at once
        (("n", 3, "h", "w"), "float", {"size_px": 32}),
        (("n", 3, "h", "w"), "float", {"size_px": 32, "layout": "nchw"}),
    ],
)
def test_the_same_weights_give_the_same_vector_however_the_input_is_laid_out(tmp_path, shape, kind, settings):
    plain = embed(write_onnx(tmp_path / "plain.onnx"))
    other = embed(write_onnx(tmp_path / "other.onnx", shape=shape, kind=kind), input=ModelInputSettings(**settings))
    np.testing.assert_allclose(other, plain, rtol=1e-4, atol=1e-5)


def test_a_model_of_bytes_gets_pixels_as_they_are_and_one_of_halves_what_others_get(tmp_path):
    bytes_ = embed(write_onnx(tmp_path / "bytes.onnx", shape=("n", 32, 32, 3), kind="uint8"))
    whole = ModelInputSettings(mean=(0, 0, 0), std=(1, 1, 1))
    np.testing.assert_allclose(bytes_ / 255, embed(write_onnx(tmp_path / "m.onnx"), input=whole), rtol=1e-3, atol=1e-4)
    halves = embed(write_onnx(tmp_path / "halves.onnx", kind="float16"))
    np.testing.assert_allclose(halves, embed(tmp_path / "m.onnx"), rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("shape", "kind", "features", "message"),
    [
        (("n", 3, 32, 3), "float", {}, r"does not say where its channels are .*set features\.input\.layout"),
        (("n", 3, 32, 32), "float", {"input": {"layout": "nhwc"}}, "takes images of 32 channels .nhwc., not 3"),
        (("n", 3, 32, 32), "float", {"input": {"size_px": 64}}, "size_px is 64, but model.onnx takes 32 x 32"),
        (("n", 32, 32, 3), "uint8", {"input": {"mean": (0, 0, 0)}}, "takes pixels as they are"),
        (("n", 3, 32, 32), "float", {"output": "pool"}, "no tensor 'pool' .*its outputs are logits"),
        (("n", 3, 32, 32), "float", {"output": "kernel"}, "no tensor 'kernel'"),
        (("n", 3, 32, 32), "float", {"weights": "/x.pth"}, "features.weights does not go with"),
        (("n", 3, 32, 32), "float", {"sha256": "0" * 64}, "features.sha256 is 000.*model.onnx has [0-9a-f]{64}"),
    ],
)
def test_what_does_not_fit_the_model_is_one_line(tmp_path, shape, kind, features, message):
    with pytest.raises(ConfigError, match=message) as caught:
        embed(write_onnx(tmp_path / "model.onnx", shape=shape, kind=kind), **features)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"junk" * 100, None])
def test_what_is_no_onnx_file_is_one_line(tmp_path, data):
    path = tmp_path / "model.onnx"
    if data is not None:
        path.write_bytes(data)
    for features in ({}, {"output": "pooled"}):
        with pytest.raises(ConfigError, match=r"model\.onnx") as caught:
            embed(path, **features)
        assert "\n" not in str(caught.value)


def test_weights_in_other_files_are_not_read(tmp_path):
    model = onnx.load(write_onnx(tmp_path / "whole.onnx"))
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(ConfigError, match="save it whole, as one file"):
        embed(tmp_path / "split.onnx")


def test_the_digest_covers_weights_output_and_what_is_shown(tmp_path):
    path = write_onnx(tmp_path / "model.onnx")
    kinds = [
        {},
        {"output": "pooled"},
        {"input": {"crop": 0.5}},
        {"input": {"mean": (0, 0, 0)}},
        {"input": {"layout": "nchw"}},
    ]
    digests = [extractor_digest(FeatureSettings(extractor=f"onnx:{path}", **kind)) for kind in kinds]
    pinned = FeatureSettings(extractor=f"onnx:{path}", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert extractor_digest(pinned) == digests[0]
    moved = path.rename(tmp_path / "elsewhere.onnx")
    assert extractor_digest(FeatureSettings(extractor=f"onnx:{moved}")) == digests[0]
    write_onnx(moved, seed=1)
    assert len({*digests, extractor_digest(FeatureSettings(extractor=f"onnx:{moved}"))}) == len(kinds) + 1


@pytest.mark.parametrize("name", ["weights", "output", "sha256", "input"])
def test_settings_of_a_model_are_refused_where_there_is_none(name):
    values = {"weights": "/x", "output": "x", "sha256": "0" * 64, "input": {"crop": 0.5}}
    with pytest.raises(ConfigError, match=f"features.{name} does not go with features.extractor colour-moments"):
        extractor_digest(FeatureSettings(extractor="colour-moments", **{name: values[name]}))


def test_the_default_extractor_can_be_pinned():
    with pytest.raises(ConfigError, match=r"the installed EfficientNet-Lite0 has ([0-9a-f]{64})") as caught:
        extractor_digest(FeatureSettings(sha256="0" * 64))
    found = re.findall("[0-9a-f]{64}", str(caught.value))[1]
    assert extractor_digest(FeatureSettings(sha256=found)) == extractor_digest(FeatureSettings())


def test_paths_of_models_start_from_the_settings_file(tmp_path):
    text = "name: x\nsource: {path: raw}\nstore: store\nfeatures: {extractor: 'onnx:../m.onnx', weights: w.pth}\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").write_text(text)
    features = load_settings(tmp_path / "a" / "x.yaml").features
    assert (features.extractor, features.weights) == (f"onnx:{tmp_path / 'm.onnx'}", str(tmp_path / "a" / "w.pth"))


@pytest.mark.parametrize(
    ("size", "crop", "shown"),
    [
        ((40, 60), 1.0, (slice(0, 40), slice(10, 50))),
        ((60, 40), 1.0, (slice(10, 50), slice(0, 40))),
        ((60, 40), 0.5, (slice(20, 40), slice(10, 30))),
    ],
)
def test_the_middle_is_shown(size, crop, shown):
    image = np.zeros((*size, 3), np.uint8)
    image[shown] = 255
    assert (seen_pixels(image, ModelInput(16, 16, crop)) == 255).all()


def test_numbers_are_scaled_then_centred_then_divided():
    pixels = np.array([[[0, 255, 51]]], np.uint8)
    shown = ModelInput(1, 1, mean=(0.5, 0.5, 0.1), std=(0.25, 0.5, 0.1))
    assert as_numbers(pixels, shown)[0, 0].tolist() == pytest.approx([-2, 1, 1])


def test_what_settings_say_of_vectors_is_one_word():
    words = [
        features_word(FeatureSettings(**kind))
        for kind in ({}, {"dtype": "float16"}, {"files": ["numpy"]}, {"extractor": "onnx:/a b/m.onnx"})
    ]
    assert words[0] == "efficientnet-lite0"
    assert len({*words}) == len(words)
    assert all(re.fullmatch("[a-z0-9-]+", word) for word in words)


@pytest.mark.parametrize("kind", ["timm:", "torchvision:"])
class TestTorchModels:
    """Models of PyTorch, with weights drawn at random."""

    def test_weights_that_are_not_the_models_are_one_line(self, kind, model_cache_dir, tmp_path):
        features = features_of(kind, model_cache_dir)
        import torch

        state = torch.load(features.weights, weights_only=True)
        first = next(iter(state))
        for wrong in ({**state, "more": state[first]}, {first: state[first]}, {**state, first: state[first][:1]}):
            torch.save(wrong, tmp_path / "wrong.pth")
            other = features.model_copy(update={"weights": str(tmp_path / "wrong.pth")})
            with pytest.raises(ConfigError, match=r"wrong\.pth is not of"):
                build_extractor(other, cache_dir=tmp_path, threads=1)

    def test_a_classifier_of_other_classes_does_not_matter(self, kind, model_cache_dir, tmp_path):
        features = features_of(kind, model_cache_dir)
        import torch

        state = torch.load(features.weights, weights_only=True)
        last = [name for name in state if name.startswith("fc.")]
        torch.save({"state_dict": {n: v[:7] if n in last else v for n, v in state.items()}}, tmp_path / "tuned.pth")
        tuned = features.model_copy(update={"weights": str(tmp_path / "tuned.pth")})
        one, other = (build_extractor(each, cache_dir=tmp_path, threads=1) for each in (features, tuned))
        assert last
        np.testing.assert_array_equal(one.embed(IMAGE[np.newaxis]), other.embed(IMAGE[np.newaxis]))
        assert one.digest != other.digest

    def test_a_file_that_would_run_something_is_refused_and_does_not(self, kind, model_cache_dir, tmp_path):
        features = features_of(kind, model_cache_dir)
        import torch

        torch.save({"a": _Touching(tmp_path / "touched")}, tmp_path / "evil.pth")
        (tmp_path / "junk.pth").write_bytes(b"junk" * 100)
        for name in ("evil.pth", "junk.pth"):
            other = features.model_copy(update={"weights": str(tmp_path / name)})
            with pytest.raises(ConfigError, match="no state dict that can be read safely"):
                build_extractor(other, cache_dir=tmp_path, threads=1)
        assert not (tmp_path / "touched").exists()

    def test_unknown_ids_and_wrong_settings_are_one_line(self, kind, model_cache_dir, tmp_path):
        features = features_of(kind, model_cache_dir)
        for update, message in (
            ({"extractor": f"{kind}no_such_model"}, "has no model 'no_such_model'"),
            ({"output": "x"}, "features.output does not go with"),
            ({"input": ModelInputSettings(layout="nchw")}, "features.input.layout does not go with"),
            ({"sha256": "0" * 64}, "features.sha256 is 000"),
            ({"weights": "/no/such.pth"}, "cannot be read"),
        ):
            with pytest.raises(ConfigError, match=message):
                build_extractor(features.model_copy(update=update), cache_dir=tmp_path, threads=1)


class _Touching:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_file_above_would_really_run_something(tmp_path):
    pickle.loads(pickle.dumps(_Touching(tmp_path / "touched")))
    assert (tmp_path / "touched").exists()

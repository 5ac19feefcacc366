"""What is told from pixels and vectors: feature vectors, similar images, labels, duplicates."""

from typing import Literal

from pydantic import Field, PositiveFloat

from image_assets.settings.section import Section


class ModelInputSettings(Section):
    """How images are given to a model that is named by a file or an id; what is not said the model itself tells."""

    size_px: int | None = Field(None, ge=1, le=4096, description="Width and height of the model's input.")
    crop: float | None = Field(None, gt=0, le=1, description="Part of the shorter side that is looked at (0-1].")
    mean: tuple[float, float, float] | None = Field(None, description="Taken from red, green, blue (0-1).")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(None, description="Divides them then.")
    layout: Literal["nchw", "nhwc"] | None = Field(None, description="Where the channels of an ONNX file's input are.")


class FeatureSettings(Section):
    """Feature vectors."""

    extractor: str = Field(
        "efficientnet-lite0",
        description="Plug-in that makes vectors, `onnx:FILE`, `timm:MODEL`, `torchvision:MODEL`, or `none`.",
    )
    weights: str | None = Field(
        None, description="Weights of a timm or torchvision model (.safetensors, .pth); none: they are downloaded."
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="What the model's digest must be; none: any is taken."
    )
    output: str | None = Field(None, description="Which output, or inner tensor, of an ONNX file is the vector.")
    input: ModelInputSettings = ModelInputSettings()
    dtype: Literal["float32", "float16"] = Field("float32", description="Type of the numbers that are kept.")
    files: tuple[Literal["numpy", "hdf5"], ...] = Field(
        (), description="Also write the vectors as feature_vectors.npy, feature_vectors.h5."
    )


class SimilaritySettings(Section):
    """Searching for similar images."""

    approximate: bool = Field(False, description="Keep an approximate index of the vectors (extra `similar`).")
    exact_below_rows: int = Field(
        50_000, ge=0, description="A dataset with fewer rows is searched exactly, and has no approximate index."
    )


class AutoLabelSettings(Section):
    """Labels that are told from the vectors, beside those of people."""

    enabled: bool = Field(False, description="Tell labels for the images of each new index.")
    methods: tuple[Literal["imagenet", "neighbours"], ...] = Field(
        ("imagenet", "neighbours"),
        min_length=1,
        description="imagenet: the default extractor's classifier; neighbours: the most similar labelled images.",
    )
    k: int = Field(10, ge=1, le=100, description="How many labelled neighbours vote.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Less confident labels are left out (0-1).")


class DuplicateSettings(Section):
    """Groups of images that are the same, or nearly."""

    enabled: bool = Field(False, description="Find the duplicates among the images of each new index.")
    distance_bits: int = Field(
        8, ge=0, le=16, description="Images whose 64-bit perceptual hashes differ in at most so many bits are alike."
    )

"""The settings of one dataset: one frozen model, read from one YAML file; units end the names."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, model_validator

from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import is_object_url, parse_object_url

# What one transform of the YAML looks like: its name, or {name: {parameter: value}}.
TransformSpec = str | dict[str, dict[str, Any] | None]
ColourByte = Annotated[int, Field(ge=0, le=255)]

PRESETS: dict[str, dict[str, Any]] = {
    # The reference tutorial's output: grayscale PNG, aspect ratio not kept.
    "zenml-tutorial": {
        "image": {"width_px": 224, "height_px": 224, "fit": "stretch", "mode": "L"},
        "output": {"format": "png"},
    },
    # A random crop of 70-100 % of the area, 256 px, sharpened, JPEG 90.
    "remux": {
        "image": {"width_px": 256, "height_px": 256, "fit": "cover", "mode": "RGB"},
        "output": {"format": "jpeg", "quality": 90},
        "transforms": [{"random_crop": {"scale": [0.7, 1.0]}}, "sharpen"],
    },
}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(_Section):
    """How images are fetched from web servers."""

    timeout_s: float = Field(
        20.0, gt=0, le=3600, description="All of one image: name lookup, redirects, waits, retries and every byte."
    )
    retries: int = Field(2, ge=0, le=20, description="Further attempts after 429, 5xx and broken connections.")
    backoff_s: float = Field(
        0.5, ge=0, le=60, description="Wait before the first retry; doubles with each, and half of it is drawn."
    )
    connections: int = Field(16, ge=1, le=256, description="Images that one worker fetches at the same time.")
    per_host: int = Field(2, ge=1, le=256, description="Of these, how many from one host.")
    min_interval_s: float = Field(0.0, ge=0, le=60, description="Least time between two requests to one host.")
    user_agent: str = Field(
        "image-assets", pattern=r"^[!-~]+( [!-~]+)*$", description="What servers are told; add a way to reach you."
    )
    respect_opt_out: bool = Field(
        True, description="Take no image whose server says noai, noimageai, noindex or noimageindex (X-Robots-Tag)."
    )
    allow_private_addresses: bool = Field(
        False, description="Also fetch from addresses that are not public: this machine, the local network."
    )
    proxy: str = Field(
        "none",
        description="none, environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), or http://host:port of an HTTP proxy.",
    )
    validators: str | None = Field(
        None, description="SQLite file (made if absent) for ETags; with it URLs are looked at again for changes."
    )
    recheck_s: float = Field(
        86_400.0, ge=0, description="Least time between two looks at one URL; only with `validators`."
    )


class SourceSettings(_Section):
    """Where the raw images are; several places are written as a list of these."""

    kind: str = Field("auto", description="Plug-in that lists and reads the raw images; auto: what `path` looks like.")
    path: str = Field(
        min_length=1, description="Folder (relative to the settings file), file or URL that holds the raw images."
    )
    prefix: str = Field(
        "", pattern=r"^([^/]+/)*$", description="Put before every key, `uploads/` for example; one each for several."
    )
    parts: tuple["SourceSettings", ...] = Field((), description="The places, when there are several.")
    follow_symlinks: bool = Field(False, description="Also follow links that lead out of the folder.")
    extensions: tuple[str, ...] = Field(
        (),
        description="File name endings to take, without dot; empty: every ending Pillow knows, and files without one.",
    )
    image_column: str | None = Field(None, description="Column of a table that holds the images; none: found out.")
    subset: str | None = Field(None, description="Subset (configuration) of a Hugging Face dataset; none: its default.")
    split: str | None = Field(
        None, description="Rows of a Hugging Face dataset: `train`, `train[:10%]+test`; none: all of the subset."
    )
    url_column: str = Field("url", description="Column of a list of URLs that holds the URL.")
    label_column: str = Field("label", description="Column that holds the label; none when there is no such column.")
    sha256_column: str = Field(
        "sha256", description="Column of a list of URLs with the SHA-256 that the bytes must have; may be absent."
    )
    extra_columns: tuple[str, ...] = Field(
        (),
        description="More columns of a table or list, fields of an archive's .json, kept with each image as `extra`.",
    )
    http: HttpSettings = HttpSettings()

    @model_validator(mode="before")
    @classmethod
    def _list_of_places(cls, content: Any) -> Any:
        """Take a list for the parts of one source."""
        if isinstance(content, list | tuple):
            places = [str(place.get("path")) for place in content if isinstance(place, Mapping)]
            return {"kind": "several", "path": ", ".join(places), "parts": content}
        return content

    @model_validator(mode="after")
    def _prefixes_differ(self) -> "SourceSettings":
        prefixes = [part.prefix for part in self.parts]
        for prefix in prefixes:
            if not prefix or sum(other.startswith(prefix) for other in prefixes) > 1:
                raise ValueError(f"several sources need a prefix each, none the beginning of another; found {prefix!r}")
        return self


class LabelSettings(_Section):
    """Where labels come from."""

    kind: Literal["directory", "file", "none"] = Field(
        "directory", description="directory: what the source itself says, else the folder's name; file: from `path`."
    )
    path: str | None = Field(None, description="CSV or Parquet file, one row an image; relative to the settings file.")
    key_column: str = Field("filename", description="Column of the label file that holds the key.")
    label_column: str = Field("label", description="Column of the label file that holds the label.")
    extra_columns: tuple[str, ...] = Field(
        (), description="More columns of the label file, kept with each image as `extra`."
    )

    @model_validator(mode="after")
    def _path_goes_with_file(self) -> "LabelSettings":
        if (self.kind == "file") != (self.path is not None):
            raise ValueError("labels.path goes with labels.kind: file")
        if self.extra_columns and self.kind != "file":
            raise ValueError("labels.extra_columns goes with labels.kind: file")
        return self


class ImageSettings(_Section):
    """Size, shape and colours of the outputs."""

    width_px: int = Field(224, ge=1, le=16384, description="Output width.")
    height_px: int = Field(224, ge=1, le=16384, description="Output height.")
    fit: Literal["stretch", "cover", "contain"] = Field(
        "cover", description="stretch: ignore the aspect ratio; cover: fill and crop the middle; contain: fit and pad."
    )
    mode: Literal["RGB", "L"] = Field("RGB", description="Colour or grayscale (ITU-R 601 luma).")
    background: tuple[ColourByte, ColourByte, ColourByte] = Field(
        (255, 255, 255), description="RGB 0-255 behind transparency and padding."
    )
    frames: Literal["first", "all"] = Field(
        "first", description="Of animated GIF, WebP, PNG, AVIF and TIFF with several pages: first, or all of them."
    )
    resizer: str = Field("fast-lanczos3", description="Plug-in that resizes: fast-lanczos3, or pillow-lanczos.")


class OutputSettings(_Section):
    """How outputs are encoded."""

    format: Literal["jpeg", "png"] = Field("jpeg", description="Encoding of the stored images.")
    quality: int = Field(90, ge=1, le=100, description="JPEG quality; PNG is lossless and ignores it.")


class AugmentSettings(_Section):
    """Augmented variants."""

    variants: int = Field(0, ge=0, le=1000, description="Augmented copies an image, beside the plain one.")
    transforms: tuple[TransformSpec, ...] = Field(
        ("random_crop", "random_flip", "random_rotation", "random_brightness", "random_contrast"),
        description="Drawn anew for each variant.",
    )


class LimitSettings(_Section):
    """What one image may cost."""

    max_file_bytes: int = Field(256 * 2**20, ge=1, description="A larger raw file becomes `too_large`.")
    max_pixels: int = Field(
        178_956_970, ge=1, description="More pixels to decode become `bomb` (the default is Pillow's own hard limit)."
    )
    max_frames: int = Field(
        1000, ge=1, description="More frames or pages become `bomb`; only with `image.frames: all`."
    )
    max_decode_s: float = Field(30.0, gt=0, description="One image may take this long before its worker is stopped.")
    max_memory_bytes: int = Field(
        2**30, ge=2**26, description="A worker may take this much for its images; one that needs more is `too_large`."
    )


class ModelInputSettings(_Section):
    """How images are given to a model that is named by a file or an id; what is not said the model itself tells."""

    size_px: int | None = Field(None, ge=1, le=4096, description="Width and height of the model's input.")
    crop: float | None = Field(None, gt=0, le=1, description="Part of the shorter side that is looked at (0-1].")
    mean: tuple[float, float, float] | None = Field(None, description="Taken from red, green, blue (0-1).")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = Field(None, description="Divides them then.")
    layout: Literal["nchw", "nhwc"] | None = Field(None, description="Where the channels of an ONNX file's input are.")


class FeatureSettings(_Section):
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


class SimilaritySettings(_Section):
    """Searching for similar images."""

    approximate: bool = Field(False, description="Keep an approximate index of the vectors (extra `similar`).")
    exact_below_rows: int = Field(
        50_000, ge=0, description="A dataset with fewer rows is searched exactly, and has no approximate index."
    )


class AutoLabelSettings(_Section):
    """Labels that are told from the vectors, beside those of people."""

    enabled: bool = Field(False, description="Tell labels for the images of each new index.")
    methods: tuple[Literal["imagenet", "neighbours"], ...] = Field(
        ("imagenet", "neighbours"),
        min_length=1,
        description="imagenet: the default extractor's classifier; neighbours: the most similar labelled images.",
    )
    k: int = Field(10, ge=1, le=100, description="How many labelled neighbours vote.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Less confident labels are left out (0-1).")


class AnnotationSettings(_Section):
    """What people and models said of images on labelling platforms."""

    enabled: bool = Field(
        False, description="Write the boxes, polygons and masks of each new index in pixels of its images."
    )


class DuplicateSettings(_Section):
    """Groups of images that are the same, or nearly."""

    enabled: bool = Field(False, description="Find the duplicates among the images of each new index.")
    distance_bits: int = Field(
        8, ge=0, le=16, description="Images whose 64-bit perceptual hashes differ in at most so many bits are alike."
    )


# What is known of an image beside its pixels: ``folder`` is where its key lies, ``top_folder`` the first part of it.
_SPLIT_COLUMN = r"^(extra\..+|folder|top_folder|label|taken_at|camera_make|camera_model)$"


class SplitFractions(_Section):
    """How large the splits shall be."""

    train: float = Field(0.8, ge=0, le=1, description="Fraction (0-1) of the images to train with.")
    val: float = Field(0.1, ge=0, le=1, description="Fraction (0-1) of the images to choose models by.")
    test: float = Field(0.1, ge=0, le=1, description="Fraction (0-1) of the images to measure at the end.")

    @model_validator(mode="after")
    def _make_up_a_whole(self) -> "SplitFractions":
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError(f"splits.fractions add up to {self.train + self.val + self.test:g}, not to 1")
        return self


class SplitSettings(_Section):
    """Which images train, and which measure: duplicates never come apart, and no image changes sides."""

    method: Literal["none", "fractions", "column", "time"] = Field(
        "none", description="fractions: drawn; column: a column says it; time: by when images were taken."
    )
    fractions: SplitFractions = SplitFractions()
    stratify: bool = Field(True, description="Give every label the same fractions; only with method: fractions.")
    group_by: str | None = Field(
        None,
        pattern=_SPLIT_COLUMN,
        description="Column whose equal values stay together: extra.patient, folder, camera_model.",
    )
    column: str | None = Field(
        None,
        pattern=_SPLIT_COLUMN,
        description="Column that names the split: top_folder, extra.split; with method: time the time [taken_at].",
    )
    val_from: str | None = Field(None, description="Images taken from this time on (ISO 8601) are val; method: time.")
    test_from: str | None = Field(None, description="Images taken from this time on (ISO 8601) are test; method: time.")

    @model_validator(mode="after")
    def _what_the_method_needs(self) -> "SplitSettings":
        if self.method == "column" and not self.column:
            raise ValueError("splits.method: column needs splits.column, the column that names the split")
        times = (self.val_from, self.test_from)
        if (self.method == "time") != (times != (None, None)):
            raise ValueError("splits.method: time goes with splits.val_from or splits.test_from")
        for text in filter(None, times):
            try:
                datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError(f"splits: {text!r} is no time; write 2024-05-31 or 2024-05-31T12:00:00") from error
        if self.val_from and self.test_from and self.val_from > self.test_from:
            raise ValueError("splits.val_from is after splits.test_from; the order is train, val, test")
        return self


class FailedFractionSettings(_Section):
    """When failed images make a check warn or stop a shard."""

    warn: float = Field(0.01, ge=0, le=1, description="Above this failed fraction (0-1) the check warns.")
    error: float = Field(0.25, ge=0, le=1, description="Above this failed fraction (0-1) the shard is not published.")
    min_failed: int = Field(3, ge=1, description="Fewer failed images than this never stop a shard.")


class LostFractionSettings(_Section):
    """When a shrunken source stops a run."""

    error: float = Field(
        0.3, ge=0, le=1, description="Above this lost fraction (0-1) nothing is deleted unless it is confirmed."
    )
    min_lost: int = Field(3, ge=1, description="Fewer lost images than this are never asked about.")


class SplitsEvenSettings(_Section):
    """When the splits of a label make a check warn."""

    tolerance: float = Field(
        0.05, ge=0, le=1, description="A label may differ by this fraction of its images (0-1), and by two images."
    )


class BigQuerySettings(_Section):
    """The BigQuery dataset in which index and manifests are tables; credentials come from the environment."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9_]{1,1024}$", description="BigQuery dataset; it is made if absent.")
    project: str | None = Field(
        None, pattern=r"^[a-z0-9:.-]{4,64}$", description="Google Cloud project; none: that of the credentials."
    )
    location: str | None = Field(
        None, pattern=r"^[A-Za-z0-9-]{2,32}$", description="Where the dataset is (`EU`); none: BigQuery's default."
    )


class WarehouseSettings(_Section):
    """Where else the tables of a dataset go."""

    bigquery: BigQuerySettings | None = Field(None, description="Tables of BigQuery (extra `gcp`); none: no such.")


class CheckSettings(_Section):
    """Thresholds of the checks."""

    lost_fraction: LostFractionSettings = LostFractionSettings()
    failed_fraction: FailedFractionSettings = FailedFractionSettings()
    splits_even: SplitsEvenSettings = SplitsEvenSettings()


class QualityShareSettings(_Section):
    """How much of something a quality check lets pass."""

    max_fraction: float = Field(0.05, ge=0, le=1, description="Above this part of the images (0-1) the check fails.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class DarkSettings(QualityShareSettings):
    """Which images are dark."""

    below_luma: int = Field(100, ge=0, le=255, description="So dark is even the 95th percentile of the luma (0-255).")


class BrightSettings(QualityShareSettings):
    """Which images are overexposed, or nearly white."""

    white_fraction: float = Field(
        0.5, gt=0, le=1, description="Part of the pixels (0-1) whose luma is 250 or more, within a white ground."
    )


class BlurrySettings(QualityShareSettings):
    """Which images are blurred."""

    above: float = Field(0.42, ge=0, le=1, description="Crete's blur (0-1): how little a further blur changes.")


class LowInformationSettings(QualityShareSettings):
    """Which images show nearly nothing."""

    below_bits: float = Field(2.0, ge=0, le=8, description="Entropy of the luma's histogram (0-8).")


class OddSizeSettings(QualityShareSettings):
    """Which raw images are of an odd size."""

    factor: float = Field(4.0, gt=1, description="So many times larger or smaller (in px a side) than the median.")


class OddAspectRatioSettings(QualityShareSettings):
    """Which raw images are oblong."""

    above: float = Field(3.0, ge=1, description="The longer side over the shorter.")


class GrayscaleSettings(QualityShareSettings):
    """Which images of a colour dataset are gray."""

    below_colourfulness: float = Field(0.5, ge=0, description="Hasler's and Süsstrunk's: 0 is gray, 30 usual.")


class ClassBalanceSettings(_Section):
    """How unequal labels may be."""

    max_ratio: float = Field(20.0, ge=1, description="Images of the most frequent label over those of the rarest.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class LabelCoverageSettings(_Section):
    """How many images must have a label."""

    min_fraction: float = Field(0.95, ge=0, le=1, description="Below this labelled part (0-1) the check fails.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class StabilitySettings(_Section):
    """How far a histogram may move."""

    max_psi: float = Field(0.25, gt=0, description="Population stability index; 0.1 is a small shift, 0.25 a big one.")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class LabelDriftSettings(_Section):
    """How far the shares of labels may move."""

    max_distance: float = Field(0.2, gt=0, le=1, description="Jensen-Shannon distance (0-1).")
    severity: Literal["warn", "error"] = Field("warn", description="error: the command fails, and Dagster's check.")


class QualitySettings(_Section):
    """What is measured of each image, and when a check of all of them fails."""

    enabled: bool = Field(False, description="Measure the images of each new index and judge them.")
    min_flagged: int = Field(3, ge=1, description="Fewer images than this never make a check fail.")
    baseline: str = Field(
        "previous", description="Snapshot that drift is told against: previous, its number, or 8 digits of its digest."
    )
    min_images: int = Field(100, ge=1, description="Snapshots with fewer images are not compared.")
    dark: DarkSettings = DarkSettings()
    bright: BrightSettings = BrightSettings()
    blurry: BlurrySettings = BlurrySettings()
    low_information: LowInformationSettings = LowInformationSettings()
    odd_size: OddSizeSettings = OddSizeSettings()
    odd_aspect_ratio: OddAspectRatioSettings = OddAspectRatioSettings()
    grayscale: GrayscaleSettings = GrayscaleSettings()
    wrong_extension: QualityShareSettings = QualityShareSettings()
    exact_duplicates: QualityShareSettings = QualityShareSettings()
    near_duplicates: QualityShareSettings = QualityShareSettings()
    class_balance: ClassBalanceSettings = ClassBalanceSettings()
    label_coverage: LabelCoverageSettings = LabelCoverageSettings()
    pixel_drift: StabilitySettings = StabilitySettings()
    size_drift: StabilitySettings = StabilitySettings()
    label_drift: LabelDriftSettings = LabelDriftSettings()

    @model_validator(mode="before")
    @classmethod
    def _number_as_text(cls, content: Any) -> Any:
        """Take a bare number for the number of a snapshot."""
        if isinstance(content, Mapping) and type(content.get("baseline")) is int:
            return {**content, "baseline": str(content["baseline"])}
        return content


class SqsSettings(_Section):
    """The queue into which a bucket puts what happens in it."""

    queue_url: str = Field(
        pattern=r"^https?://[^@?#\s]+/[^@?#\s]+$", description="URL of the SQS queue; one queue for each dataset."
    )
    region: str | None = Field(None, description="Region of the queue; none: what its URL or the environment says.")
    endpoint_url: str | None = Field(
        None, pattern=r"^https?://[^@?#\s]+$", description="Where SQS is, if not at Amazon (localstack, moto)."
    )
    max_messages: int = Field(10_000, ge=1, le=100_000, description="Most messages taken at one look.")
    reconcile_s: float = Field(3600.0, ge=0, description="Everything is listed when the last time is this long ago.")


class TriggerSettings(_Section):
    """How eagerly the sensor asks for runs."""

    interval_s: int = Field(5, ge=1, description="Least seconds between two looks at the source.")
    max_attempts: int = Field(3, ge=1, description="Runs asked for one state of the source before giving up on it.")
    backoff_s: float = Field(30.0, ge=0, description="Wait after the first failed run; doubles with each.")
    max_listing_s: float = Field(
        40.0,
        ge=0,
        description="A look at the source ends after this long and the next one goes on; Dagster stops at 60.",
    )
    sqs: SqsSettings | None = Field(None, description="Queue with a bucket's events; none: the source is listed.")


class Settings(_Section):
    """All settings of one dataset."""

    name: str = Field(
        description="Dataset name: lower case letters, digits and underscores.", pattern=r"^[a-z][a-z0-9_]{0,62}$"
    )
    source: SourceSettings
    store: str = Field(
        min_length=1, description="Folder (relative to the settings file) or URL where everything is kept."
    )
    num_shards: int = Field(16, ge=1, le=4096, description="Static partitions; 16-64 is the advice.")
    seed: int = Field(0, ge=0, description="Seed of every random draw.")
    labels: LabelSettings = LabelSettings()
    image: ImageSettings = ImageSettings()
    output: OutputSettings = OutputSettings()
    transforms: tuple[TransformSpec, ...] = Field((), description="Applied to every image, in this order.")
    augment: AugmentSettings = AugmentSettings()
    keep_gps: bool = Field(False, description="Keep GPS latitude and longitude; off: only whether there are any.")
    limits: LimitSettings = LimitSettings()
    features: FeatureSettings = FeatureSettings()
    similarity: SimilaritySettings = SimilaritySettings()
    auto_labels: AutoLabelSettings = AutoLabelSettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    annotations: AnnotationSettings = AnnotationSettings()
    splits: SplitSettings = SplitSettings()
    quality: QualitySettings = QualitySettings()
    checks: CheckSettings = CheckSettings()
    trigger: TriggerSettings = TriggerSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    exports: tuple[str, ...] = Field(("csv", "json"), description="Formats written beside each new index.")
    workers: int = Field(
        2, ge=0, le=256, description="Decoding processes; 0: in the run's own process, without isolation."
    )

    @model_validator(mode="after")
    def _extra_columns_come_from_one_place(self) -> "Settings":
        for part in (self.source, *self.source.parts):
            if both := sorted(set(part.extra_columns) & set(self.labels.extra_columns)):
                raise ValueError(f"column {both[0]!r} is in source.extra_columns and in labels.extra_columns")
        return self

    @model_validator(mode="after")
    def _vectors_for_what_is_made_of_them(self) -> "Settings":
        made = {"similarity.approximate": self.similarity.approximate, "auto_labels.enabled": self.auto_labels.enabled}
        for name, wanted in made.items():
            if wanted and self.features.extractor == "none":
                raise ValueError(f"{name} needs feature vectors, and features.extractor is none; set one of the two")
        return self

    @model_validator(mode="after")
    def _fetching_ends_before_its_worker(self) -> "Settings":
        limit_s = self.limits.max_decode_s
        for part in (self.source, *self.source.parts):
            # An `auto` source that may turn out to be a list of URLs counts as well.
            listed = part.path.lower().endswith((".txt", ".csv")) or "http" in part.model_fields_set
            fetched = part.kind == "urls" or (part.kind == "auto" and listed)
            if fetched and part.http.timeout_s >= limit_s:
                raise ValueError(
                    f"source.http.timeout_s ({part.http.timeout_s:g}) must be less than limits.max_decode_s "
                    f"({limit_s:g}), after which the worker itself is stopped"
                )
        return self


def load_settings(path: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of one YAML file, with relative paths resolved against its folder.

    ``preset: NAME`` in the file fills in what the file itself does not say; ``overrides`` (nested like the file)
    win over both.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, or holds an unknown or invalid setting.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except IsADirectoryError as error:
        raise ConfigError(f"settings file {path} is a folder; name a YAML file") from error
    except FileNotFoundError as error:
        raise ConfigError(f"settings file {path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} cannot be read: {error}") from error
    try:
        # A loader made from SafeLoader; the one it comes from accepts a key twice and forgets the first.
        content = yaml.load(text, Loader=_SettingsLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"settings file {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"settings file {path} holds no settings; write `name: value` lines")
    return make_settings(content, base=path.parent, overrides=overrides, origin=str(path))


def load_datasets(folder: Path) -> list[Settings]:
    """Return the settings of every ``*.yaml`` and ``*.yml`` file in a folder, in order of their names.

    Raises:
        ConfigError: there is no file, one is wrong, or two name the same dataset or store.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix in {".yaml", ".yml"})
    if not paths:
        raise ConfigError(f"no settings file (*.yaml) in {folder.resolve()}; write one for each dataset")
    datasets = [load_settings(path) for path in paths]
    for field in ("name", "store"):
        values = [getattr(settings, field) for settings in datasets]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ConfigError(f"two settings files in {folder.resolve()} have the same {field} {twice[0]!r}")
    return datasets


def make_settings(
    content: Mapping[str, Any], *, base: Path, overrides: Mapping[str, Any] | None = None, origin: str = "settings"
) -> Settings:
    """Return validated settings from a mapping shaped like the YAML file.

    Args:
        base: the folder that relative paths start from.
        origin: what to call the mapping in an error.

    Raises:
        ConfigError: a setting is unknown, missing or invalid.
    """
    merged, over = dict(content), dict(overrides or {})
    preset = over.pop("preset", merged.pop("preset", None))
    if preset is not None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(f"{origin}: unknown preset {preset!r}; known: {', '.join(sorted(PRESETS))}")
        merged = _merge(PRESETS[preset], merged)
    merged = _merge(merged, over)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {_one_line(error)}") from error
    return _with_resolved_paths(settings, base)


def dataset_name_for(place: Path | str) -> str:
    """Return a dataset name for a folder or a URL given without settings, distinct for places of the same name."""
    # Resolved first: a folder has one name, however it is written (".", a link), and a bucket however it is reached.
    whole = str(place.resolve()) if isinstance(place, Path) else _without_options(place).rstrip("/")
    stem = re.sub(r"[^a-z0-9]+", "_", whole.rsplit("/", 1)[-1].lower()).strip("_")[:40] or "images"
    digest = hashlib.blake2b(whole.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return f"{stem if stem[0].isalpha() else 'images_' + stem}_{digest}"


def _without_options(url: str) -> str:
    """Return a bucket's URL without how to reach it; what other URLs have behind the ``?`` says what is meant."""
    return url.partition("?")[0] if is_object_url(url) else url


class _SettingsLoader(yaml.SafeLoader):
    """Safe YAML in which a key may stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise yaml.YAMLError(f"{twice[0]!r} stands there twice, {str(node.start_mark).strip()}")
        return super().construct_mapping(node, deep=deep)


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _one_line(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        where = ".".join(str(step) for step in item["loc"]) or "settings"
        what = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            what = f"unknown setting; known here: {', '.join(_known_settings(item['loc'][:-1]))}"
        elif item["type"] != "missing" and not isinstance(item["input"], Mapping | BaseModel):
            what += f" (found {item['input']!r})"
        parts.append(f"{where}: {what}")
    return "; ".join(parts)


def _known_settings(loc: tuple[int | str, ...]) -> list[str]:
    section: type[BaseModel] = Settings
    for step in loc:
        annotation = section.model_fields[str(step)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return sorted(section.model_fields)


def _with_resolved_paths(settings: Settings, base: Path) -> Settings:
    source = _with_resolved_source(settings.source, base)
    labels = settings.labels
    if labels.path is not None:
        labels = labels.model_copy(update={"path": _resolve(labels.path, base)})
    features = _with_resolved_model(settings.features, base)
    resolved = {"source": source, "labels": labels, "features": features, "store": _resolve(settings.store, base)}
    return settings.model_copy(update=resolved)


def _with_resolved_model(features: FeatureSettings, base: Path) -> FeatureSettings:
    update = {}
    if features.extractor.startswith("onnx:"):
        update["extractor"] = f"onnx:{_resolve(features.extractor.removeprefix('onnx:'), base)}"
    if features.weights is not None:
        update["weights"] = _resolve(features.weights, base)
    return features.model_copy(update=update)


def _with_resolved_source(source: SourceSettings, base: Path) -> SourceSettings:
    if source.parts:
        parts = tuple(_with_resolved_source(part, base) for part in source.parts)
        return source.model_copy(update={"parts": parts, "path": ", ".join(part.path for part in parts)})
    http = source.http
    if http.validators is not None:
        http = http.model_copy(update={"validators": _resolve(http.validators, base)})
    return source.model_copy(update={"path": _resolve(source.path, base), "http": http})


def is_url(path_or_url: str) -> bool:
    """Return whether this is a URL (``s3://bucket/prefix``) rather than a path."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://", path_or_url) is not None


def _resolve(path_or_url: str, base: Path) -> str:
    if is_url(path_or_url):
        scheme, rest = path_or_url.split("://", 1)
        if is_object_url(path_or_url):
            # Told at once: a URL is shown in many places, and must hold no secret.
            parse_object_url(path_or_url)
        return f"{scheme.lower()}://{rest}"
    try:
        return str((base / Path(path_or_url).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"path {path_or_url!r} cannot be resolved: {error}") from error

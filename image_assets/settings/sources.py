"""Where raw images and their labels come from."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from image_assets.settings.section import Section


class HttpSettings(Section):
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


class SourceSettings(Section):
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


class LabelSettings(Section):
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


class AnnotationSettings(Section):
    """What people and models said of images on labelling platforms."""

    enabled: bool = Field(
        False, description="Write the boxes, polygons and masks of each new index in pixels of its images."
    )

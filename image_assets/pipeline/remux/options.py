"""What a remux is asked to do, and the platform settings that follow from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from image_assets.core.errors import ConfigError
from image_assets.settings import Settings, make_settings

# At most this many parts fit the five digits of their names.
MAX_PARTS = 100_000


@dataclass(frozen=True, slots=True)
class RemuxOptions:
    """The options of one remux.

    ``label_col`` None takes the column ``label`` if there is one; ``extra_cols`` None keeps all other columns.
    ``batch_size`` is how many images a function of the user's gets at once; without one, how many a worker gets.
    """

    dataset: str
    out_dir: Path
    subset: str | None = None
    split: str = "train"
    image_col: str = "image"
    label_col: str | None = None
    extra_cols: tuple[str, ...] | None = None
    batch_size: int = 32
    rows_per_shard: int = 10_000
    num_workers: int = 2
    seed: int = 0
    image_format: Literal["jpeg", "png"] = "jpeg"
    jpeg_quality: int = 90
    function: str | None = None
    names: Literal["part", "hub"] = "part"
    resume: bool = False


def remux_settings(options: RemuxOptions) -> Settings:
    """Return the settings by which images are decoded, transformed and encoded: the preset ``remux``.

    Raises:
        ConfigError: an option is out of its range.
    """
    for name in ("batch_size", "rows_per_shard"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(options, name)}; give 1 or more")
    content = {
        "preset": "remux",
        "name": "remux",
        # Images come from the dataset's tables and go into parts: there is neither a source nor a store.
        "source": {"path": "."},
        "store": ".",
        "seed": options.seed,
        "output": {"format": options.image_format, "quality": options.jpeg_quality},
        "workers": options.num_workers,
    }
    return make_settings(content, base=Path.cwd(), origin="remux")

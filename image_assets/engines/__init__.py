"""Where tasks run: one file and one line here each."""

from collections.abc import Callable

from image_assets.engines.base import Engine
from image_assets.engines.inline import InlineEngine
from image_assets.engines.local import LocalEngine
from image_assets.settings import Settings

ENGINES: dict[str, Callable[[Settings], Engine]] = {
    "inline": lambda _: InlineEngine(),
    "local": lambda settings: LocalEngine(
        settings.workers, settings.limits.max_decode_s, settings.limits.max_memory_bytes
    ),
}


def build_engine(settings: Settings) -> Engine:
    """Return the engine for a dataset: its own processes, or with ``workers: 0`` none."""
    return ENGINES["local" if settings.workers else "inline"](settings)

"""What a Ray worker does with a task. It is sent there as code, so that it can say what that machine lacks."""

from collections.abc import Callable
from typing import Any


def task_function(version: str) -> Callable[[bytes, bytes], tuple[str, Any]]:
    """Return the function that takes a pickled job and a pickled task; it says whether it answers or what is wrong.

    It is defined within another one and knows nothing of this module: so Ray sends it by its code, not by its name.

    Args:
        version: what the run has of this package; the worker must have the same.
    """

    def image_assets(job: bytes, task: bytes) -> tuple[str, Any]:
        import importlib.metadata
        import pickle
        import platform

        try:
            found = f"image_assets {importlib.metadata.version('image-assets')}"
        except importlib.metadata.PackageNotFoundError:
            found = "no image_assets"
        if found != f"image_assets {version}":
            return "error", f"the worker on {platform.node()} has {found}, the run has {version}; install it there"
        from image_assets.engines.node import work

        return "answer", pickle.dumps(work(pickle.loads(job), task))  # noqa: S301  the run made it

    return image_assets

"""What Dask workers are asked to call.

Functions inside functions travel as they are and not by name, so that a worker without this package can say so, and
the scheduler needs nothing of it.
"""

from collections.abc import Callable
from functools import cache
from importlib import metadata


@cache
def installed_version() -> str:
    """Return which version of this package is installed."""
    return metadata.version("image-assets")


def work_function() -> Callable[[bytes, bytes, str], bytes | str]:
    """Return what does a task of a pickled job, and returns the packed answer or why this worker cannot."""

    def work(job: bytes, task: bytes, version: str) -> bytes | str:
        import pickle
        import socket

        worker = f"the Dask worker on {socket.gethostname()}"
        try:
            from image_assets.engines import node
            from image_assets.engines.dask_calls import installed_version
        except ImportError as error:
            return f"{worker} cannot import image_assets {version} ({error}); install it there"
        if (found := installed_version()) != version:
            return f"{worker} has image_assets {found}, this is {version}; install the same in both places"
        return pickle.dumps(node.work(pickle.loads(job), task))  # noqa: S301  of the run that was let in

    return work


def end_function() -> Callable[[str], None]:
    """Return what ends the children of a job."""

    def end(job_id: str) -> None:
        import sys

        # Where it was not imported, nothing is to be ended.
        if (node := sys.modules.get("image_assets.engines.node")) is not None:
            node.end(job_id)

    return end

"""A published dataset for training: as a dataset of PyTorch, Hugging Face or TensorFlow, imported when asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from image_assets.core.errors import MissingExtraError
from image_assets.loaders.order import Order, Share
from image_assets.loaders.samples import LoadOptions
from image_assets.loaders.snapshot import PinnedSnapshot
from image_assets.pipeline.reading import Dataset

if TYPE_CHECKING:
    from image_assets.loaders.torch_map import TorchImages
    from image_assets.loaders.torch_stream import TorchStream


def to_torch(dataset: Dataset, options: LoadOptions | None = None) -> "TorchImages":
    """Return a map-style dataset of PyTorch; it stays when ``dataset`` is closed.

    Raises:
        MissingExtraError: torch is not installed.
        ConfigError: the options do not fit the dataset, or there are no such rows.
        DatasetError: there is no such column.
    """
    options = options or LoadOptions()
    options.check(dataset.columns, dataset.image_shape[2])
    with _extra("torch", "torch"):
        from image_assets.loaders.torch_map import TorchImages
    return TorchImages(PinnedSnapshot(dataset, options.chosen_of(dataset)), options)


def to_torch_stream(
    dataset: Dataset,
    options: LoadOptions | None = None,
    *,
    order: Order | None = None,
    share: Share | None = None,
) -> "TorchStream":
    """Return an iterable dataset of PyTorch; it stays when ``dataset`` is closed.

    Args:
        order: how each epoch is shuffled.
        share: the rank's part; without it that of this process in ``torch.distributed``, or everything.

    Raises:
        MissingExtraError: torch is not installed.
        ConfigError: the options do not fit the dataset, or there are no such rows.
        DatasetError: there is no such column.
    """
    options = options or LoadOptions()
    options.check(dataset.columns, dataset.image_shape[2])
    with _extra("torch", "torch"):
        from image_assets.loaders.torch_stream import TorchStream
    return TorchStream(PinnedSnapshot(dataset, options.chosen_of(dataset)), options, order, share)


def to_hf(dataset: Dataset, columns: Sequence[str] = (), *, split: str | None = None, streaming: bool = False) -> Any:
    """Return a ``datasets.Dataset``: ``image`` (Image, not decoded), ``label`` (ClassLabel), columns, in index order.

    ``datasets`` copies the rows into its cache once a snapshot, a few in memory at a time; ``streaming`` copies nothing
    and returns an ``IterableDataset``.

    Raises:
        MissingExtraError: datasets is not installed.
        ConfigError: a column's name is taken, or there is no such split.
        DatasetError: there is no such column, or the dataset has no splits.
        StoreError: the index or a segment is damaged or gone.
    """
    with _extra("datasets", "datasets"):
        from image_assets.loaders.huggingface_dataset import huggingface_dataset
    chosen = LoadOptions(split=split).chosen_of(dataset)
    return huggingface_dataset(PinnedSnapshot(dataset, chosen), tuple(columns), streaming=streaming)


def to_tf(dataset: Dataset, options: LoadOptions | None = None, *, order: Order | None = None, epoch: int = 0) -> Any:
    """Return a ``tf.data.Dataset`` of one epoch: ``image`` (height, width, channels), ``label``, columns.

    Raises:
        MissingExtraError: tensorflow is not installed.
        ConfigError: the options do not fit the dataset or TensorFlow.
        DatasetError: there is no such column.
        StoreError: the index or a segment is damaged or gone.
    """
    options = options or LoadOptions()
    options.check(dataset.columns, dataset.image_shape[2])
    with _extra("tensorflow", "tensorflow"):
        from image_assets.loaders.tensorflow_dataset import tensorflow_dataset
    return tensorflow_dataset(PinnedSnapshot(dataset, options.chosen_of(dataset)), options, order or Order(), epoch)


@contextmanager
def _extra(package: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"this needs {package}; install it with: pip install 'image-assets[{extra}]'"
        ) from error

"""What both PyTorch datasets need: pixels as tensors, an epoch number that all workers see, the rank."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from image_assets.loaders.order import Share


def as_tensors(samples: Iterator[dict[str, Any]], transform: Callable[[Any], Any] | None) -> Iterator[dict[str, Any]]:
    """Yield samples with their images as tensors of shape (channels, height, width), transformed."""
    for sample in samples:
        # Copied into the layout that is batched: batching strided pixels costs more.
        pixels = np.ascontiguousarray(np.moveaxis(np.asarray(sample["image"]), -1, 0))
        image = torch.from_numpy(pixels)
        yield sample | {"image": image if transform is None else transform(image)}


def share_of_process(share: Share | None) -> Share:
    """Return the share asked for, else that of this process in ``torch.distributed``; unused, that is everything."""
    if share is not None:
        return share
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return Share(torch.distributed.get_rank(), torch.distributed.get_world_size())
    return Share()


class SharedNumbers:
    """Some numbers that the workers of a DataLoader see change, also those that stay for the next epoch."""

    def __init__(self, **numbers: int) -> None:
        self._names = tuple(numbers)
        self._values = torch.tensor(list(numbers.values()), dtype=torch.int64).share_memory_()

    def __getitem__(self, name: str) -> int:
        """Return a number."""
        return int(self._values[self._names.index(name)])

    def update(self, numbers: Mapping[str, int]) -> None:
        """Change some of the numbers, in all processes."""
        for name, value in numbers.items():
            self._values[self._names.index(name)] = value

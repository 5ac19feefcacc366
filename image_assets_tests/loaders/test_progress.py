"""Where an epoch goes on: states of workers after some batches, in any number."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.core.errors import ConfigError
from image_assets.loaders.order import part_of
from image_assets.loaders.progress import (
    Batching,
    Progress,
    progress_after,
    progress_from_state,
    progress_to_state,
)

PINNED = {"snapshot": 3, "identity": "a"}


def _batches(parts: Sequence[Sequence[int]], size: int, drop_last: bool) -> list[list[int]]:
    """Return what a DataLoader gives: workers in turns, those that are through passed over."""
    queues = [[list(part[at : at + size]) for at in range(0, len(part), size)] for part in parts]
    queues = [[batch for batch in queue if len(batch) == size or not drop_last] for queue in queues]
    given_out = []
    while any(queues):
        given_out += [queue.pop(0) for queue in queues if queue]
    return given_out


@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 7), st.booleans(), st.data())
def test_the_rest_of_an_epoch_comes_as_it_would_have(
    rows: int, workers: int, size: int, drop_last: bool, data: st.DataObject
) -> None:
    parts = [range(*part_of((0, rows), worker, workers)) for worker in range(workers)]
    whole = _batches(parts, size, drop_last)
    taken = data.draw(st.integers(0, len(whole)))
    progress = progress_after(taken, 0, [len(part) for part in parts], Batching(size, workers, drop_last))
    resumed = [progress.place_of(worker, workers) for worker in range(workers)]
    assert _batches([parts[part][done:] for part, done in resumed], size, drop_last) == whole[taken:]


def test_a_state_is_plain_and_comes_back() -> None:
    progress = Progress(4, (10, 8), 1)
    state = progress_to_state(progress, PINNED)
    assert state == {"format": 1, "epoch": 4, "done": [10, 8], "first": 1, "pinned": PINNED}
    assert progress_from_state(state, PINNED) == progress


def test_a_state_of_another_dataset_is_refused_with_what_differs() -> None:
    state = progress_to_state(Progress(4, (10,)), PINNED)
    with pytest.raises(ConfigError, match="snapshot was 3 and is 4"):
        progress_from_state(state, {**PINNED, "snapshot": 4})
    with pytest.raises(ConfigError, match="no state of a dataset"):
        progress_from_state({"epoch": 1}, PINNED)


def test_more_workers_and_more_batches_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"of 2 worker\(s\), there are 3"):
        Progress(0, (1, 1)).place_of(0, 3)
    with pytest.raises(ConfigError, match="5 batches of an epoch that has 4"):
        progress_after(5, 0, [10, 10], Batching(5, 2))
    with pytest.raises(ConfigError, match="batches of 0"):
        Batching(0)

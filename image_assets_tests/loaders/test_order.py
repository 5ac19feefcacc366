"""The order of an epoch and its division among ranks and workers, as numbers alone."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.core.errors import ConfigError
from image_assets.loaders.order import Blocks, Epoch, Order, Share, part_of

DIGEST = "d" * 64
sizes = st.integers(0, 300)
block_rows = st.integers(1, 40)
orders = st.builds(Order, st.integers(0, 3), st.booleans(), st.integers(1, 350))


def _epoch(rows: int, block_rows: int, order: Order, number: int = 0) -> Epoch:
    # Scattered, as after many runs: neighbours of the index lie in different blocks.
    of_row = np.random.default_rng(rows).permutation(np.arange(rows) // block_rows)
    return Epoch(Blocks(of_row), order, DIGEST, number)


def _taken(epoch: Epoch, share: Share, workers: int) -> list[list[int]]:
    """Return what each worker of a rank takes, in order."""
    span = share.span(epoch.blocks.num_rows)
    parts = [part_of(span, worker, workers) for worker in range(workers)]
    return [[int(row) for window in epoch.windows(*part) for row in window] for part in parts]


@given(sizes, block_rows, orders, st.integers(1, 9), st.integers(1, 4))
def test_over_all_ranks_and_workers_every_sample_comes_exactly_once(
    rows: int, block_rows: int, order: Order, ranks: int, workers: int
) -> None:
    epoch = _epoch(rows, block_rows, order)
    parts = [part for rank in range(ranks) for part in _taken(epoch, Share(rank, ranks), workers)]
    assert Counter(row for part in parts for row in part) == Counter(range(rows))


@given(sizes, block_rows, orders, st.integers(1, 9), st.integers(1, 4))
def test_dropping_and_padding_give_all_ranks_equally_many(
    rows: int, block_rows: int, order: Order, ranks: int, workers: int
) -> None:
    epoch = _epoch(rows, block_rows, order)
    for uneven, length in (("drop", rows // ranks), ("pad", -(-rows // ranks))):
        shares = [Share(rank, ranks, uneven) for rank in range(ranks)]  # type: ignore[arg-type]
        of_rank = [list(chain(*_taken(epoch, share, workers))) for share in shares]
        assert [len(taken) for taken in of_rank] == [length] * ranks
        times = Counter(chain(*of_rank)).values()
        # Rows that come too often, or not at all, are never more than ranks.
        assert sum(abs(count - 1) for count in times) + rows - len(times) < max(ranks, 1)


@given(sizes, block_rows, orders, st.integers(0, 300))
def test_skipping_leaves_the_rest_of_an_epoch_as_it_was(rows: int, block_rows: int, order: Order, skip: int) -> None:
    epoch = _epoch(rows, block_rows, order, 5)
    first, end = rows // 4, rows
    whole = [int(row) for window in epoch.windows(first, end) for row in window]
    assert [int(row) for window in epoch.windows(first, end, skip=skip) for row in window] == whole[skip:]


@given(sizes, block_rows, st.integers(1, 6))
def test_parts_of_an_epoch_have_hardly_more_blocks_than_there_are(rows: int, block_rows: int, parts: int) -> None:
    epoch = _epoch(rows, block_rows, Order(window_rows=64))
    in_parts = [
        {int(epoch.blocks.of_row[row]) for window in epoch.windows(*part_of((0, rows), part, parts)) for row in window}
        for part in range(parts)
    ]
    # Two parts have a block in common only where one ends and the next begins.
    assert sum(map(len, in_parts)) <= len(epoch.blocks) + parts - 1


def test_windows_take_blocks_one_after_the_other() -> None:
    epoch = _epoch(4000, 64, Order(window_rows=512))
    seen: set[int] = set()
    before: set[int] = set()
    for window in epoch.windows(0, 4000):
        blocks = {int(epoch.blocks.of_row[row]) for row in window}
        # A block is in neighbouring windows or in one, so that what was read is kept for one window at most.
        assert not blocks & (seen - before)
        seen, before = seen | blocks, blocks


def test_an_order_depends_on_seed_epoch_and_dataset_and_on_nothing_else() -> None:
    blocks = Blocks(np.arange(1000) // 64)

    def drawn(seed: int = 0, digest: str = DIGEST, epoch: int = 0) -> list[int]:
        windows = Epoch(blocks, Order(seed, window_rows=100), digest, epoch).windows(0, 1000)
        return [int(row) for window in windows for row in window]

    assert drawn() == drawn()
    assert len({tuple(order) for order in (drawn(), drawn(seed=1), drawn(epoch=1), drawn(digest="e" * 64))}) == 4


def test_without_shuffling_the_order_is_that_of_the_index() -> None:
    epoch = _epoch(100, 7, Order(shuffle=False, window_rows=16))
    assert list(chain(*_taken(epoch, Share(), 3))) == list(range(100))


def test_each_row_comes_first_as_often_as_any_other() -> None:
    blocks = Blocks(np.arange(40) // 8)
    firsts = Counter(
        int(next(Epoch(blocks, Order(window_rows=16), DIGEST, number).windows(0, 40))[0]) for number in range(4000)
    )
    # Binomial, 100 expected of each, standard deviation 10: five of them either way.
    assert set(firsts) == set(range(40))
    assert all(50 < count < 150 for count in firsts.values())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Order(window_rows=0), "window of 0 rows"),
        (lambda: Share(2, 2), "rank 2 of 2"),
        (lambda: Share(-1, 2), "rank -1 of 2"),
        (lambda: Share(0, 2, "cut"), "unknown uneven 'cut'"),
    ],
)
def test_impossible_orders_and_shares_are_refused(make: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()  # type: ignore[operator]

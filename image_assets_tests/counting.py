"""How many bytes of each file of a tree are read by a run and its workers: a tree that counts, put into all of them."""

from collections import Counter
from pathlib import Path

from image_assets.engines import local_engine
from image_assets.sources import build_tree
from image_assets.sources.local_tree import LocalTree


class CountingTree(LocalTree):
    """A local tree that writes down each read: a line ``bytes path`` in the file ``log``."""

    log = Path()

    def open(self, path, locator):
        reader = super().open(path, locator)
        read_at = reader.read_at

        def counted(offset, length):
            data = read_at(offset, length)
            with self.log.open("a") as file:
                file.write(f"{len(data)} {path}\n")
            return data

        reader.read_at = counted
        return reader


class Counted:
    """The function of a run, in a process whose trees count."""

    def __init__(self, function, log):
        self._function, self._log = function, log

    def __call__(self, task, beat):
        count_in_this_process(self._log)
        return self._function(task, beat)


class CountingEngine:
    """The engine of some settings, with counting trees in its workers."""

    name, far = "counting", False

    def __init__(self, settings, log):
        self._engine, self._log = local_engine(settings), log

    def map(self, function, tasks):
        return self._engine.map(Counted(function, self._log), tasks)

    def __enter__(self):
        self._engine.__enter__()
        return self

    def __exit__(self, *exc):
        self._engine.__exit__(*exc)


def count_in_this_process(log):
    """Make the trees that this process opens from now on count."""
    CountingTree.log = log
    build_tree.LocalTree = CountingTree


def bytes_read(log):
    """Return how many bytes were read of each file."""
    found = Counter()
    for line in log.read_text().splitlines():
        number, path = line.split(" ", 1)
        found[path] += int(number)
    return found

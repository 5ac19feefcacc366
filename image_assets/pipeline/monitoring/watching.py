"""The datasets of some settings files, read side by side: one that is broken or slow keeps no other from answering."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from image_assets.core.errors import ConfigError, ImageAssetsError
from image_assets.pipeline.monitoring.exposition import Sample
from image_assets.pipeline.monitoring.readings import Reader, sample_of
from image_assets.settings import Settings, load_settings
from image_assets.settings.datasets import find_conflicts, settings_files


class Watch:
    """Reads the datasets of a folder, or of some settings files, again and again.

    Settings are read anew each time, so that a file that is added, changed or removed counts. A dataset that was read
    less than ``cache_s`` ago is not read again, and never twice at the same time.

    Args:
        places: settings files, and folders of them.
        complain: called with one line about a dataset that cannot be read, once until that changes.
    """

    def __init__(
        self,
        places: Sequence[Path],
        complain: Callable[[str], None],
        *,
        with_source: bool = False,
        cache_s: float = 0.0,
    ) -> None:
        self._places = places
        self._complain = complain
        self._with_source = with_source
        self._cache_s = cache_s
        self._datasets: dict[Path, _Dataset] = {}
        self._wrong: dict[str, str] = {}
        self._lock = threading.Lock()

    def samples(self, limit_s: float = math.inf) -> list[Sample]:
        """Return the numbers of all datasets; of one that cannot be read, or not in time, that it is not up.

        Raises:
            ConfigError: there is no settings file.
        """
        until = time.monotonic() + limit_s
        with self._lock:
            wrong = self._load()
            under_way = [(path, dataset, dataset.begin(self._cache_s)) for path, dataset in self._datasets.items()]
        found: dict[str, list[Sample]] = {_name_of(Path(path)): [] for path in wrong}
        for path, dataset, done in under_way:
            finished = done.wait(None if limit_s == math.inf else max(0.0, until - time.monotonic()))
            if not finished:
                wrong[str(path)] = f"{path}: its store did not answer in {limit_s:g} s"
            elif dataset.error is not None:
                wrong[str(path)] = f"{path}: {dataset.error}"
            found[dataset.settings.name] = dataset.samples if finished and dataset.error is None else []
        self._tell(wrong)
        return [sample for name, samples in found.items() for sample in samples or [sample_of(name, "up", 0, {})]]

    @property
    def wrong(self) -> Mapping[str, str]:
        """What was wrong the last time, by settings file."""
        return self._wrong

    def _load(self) -> dict[str, str]:
        """Read the settings files; return what is wrong with some."""
        wrong: dict[str, str] = {}
        read: dict[str, Settings] = {}
        for path in self._files():
            try:
                read[str(path)] = load_settings(path)
            except ConfigError as error:
                wrong[str(path)] = str(error)
        wrong |= find_conflicts(read)
        right = {Path(path): settings for path, settings in read.items() if path not in wrong}
        known = self._datasets
        self._datasets = {
            path: known[path]
            if path in known and known[path].settings == settings
            else _Dataset(settings, with_source=self._with_source)
            for path, settings in right.items()
        }
        return wrong

    def _files(self) -> list[Path]:
        # A file that is gone for now is one that cannot be read.
        return [path for place in self._places for path in ([place] if _is_file(place) else settings_files(place))]

    def _tell(self, wrong: dict[str, str]) -> None:
        for path, why in wrong.items():
            if self._wrong.get(path) != why:
                self._complain(why)
        self._wrong = wrong


class _Dataset:
    """What was read last of one dataset; the thread that reads may outlast the question."""

    def __init__(self, settings: Settings, *, with_source: bool) -> None:
        self.settings = settings
        self.samples: list[Sample] = []
        self.error: str | None = None
        self._reader = Reader(settings, with_source)
        self._done = threading.Event()
        self._done.set()
        self._read_at = -math.inf

    def begin(self, cache_s: float) -> threading.Event:
        """Read it, unless that is under way or was just done; return what is set at the end."""
        if self._done.is_set() and time.monotonic() - self._read_at >= cache_s:
            self._done = threading.Event()
            # A thread that waits for a store for ever must not keep the program from ending.
            threading.Thread(target=self._read, args=(self._done,), daemon=True).start()
        return self._done

    def _read(self, done: threading.Event) -> None:
        # What is no error of ours is shown as a traceback by the thread, and the dataset is not up.
        self.error = "it cannot be read"
        try:
            self.samples = self._reader.read()
            self.error = None
        except (ImageAssetsError, OSError) as error:
            self.error = " ".join(str(error).split())
        finally:
            self._read_at = time.monotonic()
            done.set()


def _is_file(place: Path) -> bool:
    return place.is_file() or (place.suffix in {".yaml", ".yml"} and not place.is_dir())


def _name_of(path: Path) -> str:
    """Return what to call a dataset whose settings are wrong."""
    try:
        return load_settings(path).name
    except ConfigError:
        return path.stem

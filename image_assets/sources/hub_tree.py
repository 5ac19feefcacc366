"""A dataset repository on the Hugging Face hub as a tree; what is read is downloaded into the hub's own cache."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from image_assets.core.errors import MissingExtraError, SourceError, SourceFileError, VanishedError
from image_assets.sources.local_tree import LocalReader
from image_assets.sources.trees import TreeFile, TreeReader


class HubTree:
    """The files of a dataset at its newest commit when they are first asked for; a version is the file's own hash.

    Endpoint, token and cache are those of ``huggingface_hub``: HF_ENDPOINT, HF_TOKEN, HF_HOME.
    """

    def __init__(self, repository: str, revision: str | None) -> None:
        self._repository = repository
        self._revision = revision

    def files(self) -> Iterator[TreeFile]:
        """Yield every file of the repository.

        Raises:
            SourceError: there is no such dataset, it needs a token, or the hub does not answer.
            MissingExtraError: the client of the hub is not installed.
        """
        yield from self._files.values()

    def open(self, path: str, locator: bytes | None) -> TreeReader:  # noqa: ARG002
        """Open one file, once it is downloaded.

        Raises:
            SourceFileError: it cannot be downloaded (reason unreadable).
            VanishedError: it is gone.
        """
        if path not in self._files:
            raise VanishedError(f"{path} is not in the dataset {self._repository}")
        try:
            file = _client().hf_hub_download(
                self._repository, path, repo_type="dataset", revision=self._info.sha, endpoint=_endpoint()
            )
        # Errors of the client, of its connection and of the disk: all mean that this file cannot be had now.
        except Exception as error:
            raise SourceFileError("unreadable", _words(error)) from error
        handle = os.open(Path(file), os.O_RDONLY | os.O_CLOEXEC)
        return _CachedReader(handle, path, self._files[path].version)

    @cached_property
    def _info(self) -> Any:
        client = _client()
        try:
            return client.HfApi(endpoint=_endpoint()).dataset_info(
                self._repository, revision=self._revision, files_metadata=True
            )
        except Exception as error:
            raise SourceError(f"dataset {self._repository} cannot be had from the hub: {_words(error)}") from error

    @cached_property
    def _files(self) -> dict[str, TreeFile]:
        files = [TreeFile(item.rfilename, _hash(item), item.size or 0) for item in self._info.siblings or ()]
        return {file.path: file for file in files}


class _CachedReader(LocalReader):
    """A downloaded file; the cache may be emptied and filled again without a change of its version."""

    def __init__(self, handle: int, path: str, version: str) -> None:
        super().__init__(handle, path, linked=False)
        self.version = version


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            "a dataset on the hub needs its client; install it with: pip install 'image-assets[huggingface]'"
        ) from error
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


def _hash(item: Any) -> str:
    lfs = item.lfs
    return str(lfs.sha256 if lfs is not None else item.blob_id)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

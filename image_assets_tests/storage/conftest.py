"""Every kind of store, also those on the object stores that run on this machine."""

import tempfile

import pytest

from image_assets.storage.store import Store

# "%20" is no space, "#" and "?" end the path of a URL.
FOLDERS = ["plain", "a b", "%20", "50%", "a#1", "#1", "what?x=1", "[a]", "日本", "a\nb", "deep/er"]


@pytest.fixture(params=["memory", *FOLDERS])
def store(request, tmp_path):
    return Store("memory:///" if request.param == "memory" else str(tmp_path / request.param))


@pytest.fixture(params=["folder", "memory", "s3", "azure", "gcs"])
def either(request, tmp_path):
    """One store of each kind, where the name of the folder does not matter."""
    if request.param in {"s3", "azure", "gcs"}:
        server = request.getfixturevalue(request.param)
        return Store(server.url(server.new_bucket(), "some where"))
    return Store("memory:///" if request.param == "memory" else str(tmp_path / "store"))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The folder that temporary files go to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder

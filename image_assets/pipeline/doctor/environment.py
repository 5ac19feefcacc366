"""This machine and what is installed on it: Python, packages, extras, decoders, memory, processors, limits, folders."""

import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from image_assets.pipeline.doctor.finding import Finding

_DISTRIBUTION = "image-assets"
# What each extra gives, for those who read which ones they lack; `dev` is for work on the platform itself.
_GIVES = {
    "heic": "HEIC images",
    "huggingface": "datasets on the Hugging Face hub",
    "similar": "an approximate index of vectors",
    "sql": "image-assets sql",
    "dask": "Dask", "ray": "Ray", "spark": "Spark",
    "torch": "PyTorch", "timm": "timm models", "torchvision": "torchvision models", "tensorflow": "TensorFlow",
    "datasets": "Hugging Face datasets", "lance": "Lance files", "gcp": "BigQuery",
    "postgres": "Dagster on PostgreSQL", "kubernetes": "Dagster on Kubernetes",
}  # fmt: skip
_MB = 2**20
_LEAST_MEMORY = 512 * _MB
_LEAST_FILES = 256
_LEAST_SHM = 32 * _MB
_LEAST_TEMPORARY = 1024 * _MB
_SHARED = Path("/dev/shm")  # noqa: S108  it is looked at, and nothing is put there


def environment_findings() -> Iterator[Finding]:
    """Yield what there is to say of this machine, whatever the dataset."""
    yield _python()
    yield from _packages()
    yield _extras()
    yield _decoders()
    yield _memory()
    yield _processors()
    yield _open_files()
    yield from _folders()


def _python() -> Finding:
    found = (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {platform.libc_ver()[0] or 'libc'}"
    )
    if platform.system() != "Linux":
        return Finding(
            "python", "warn", found, "only Linux is tested; file locks and memory limits may differ elsewhere"
        )
    return Finding("python", "ok", f"{found} {platform.libc_ver()[1]}".strip())


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wrong = []
    for text in distribution(_DISTRIBUTION).requires or []:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        have = _version(need.name)
        if have is None or not need.specifier.contains(have, prereleases=True):
            wrong.append(f"{need.name} is {have or 'missing'}, wanted {need.specifier}")
    ours = f"image-assets {_version(_DISTRIBUTION)}"
    if wrong:
        remedy = "pip install --upgrade image-assets (in this environment)"
        yield Finding("packages", "fail", f"{ours}: {'; '.join(wrong)}", remedy)
    else:
        yield Finding("packages", "ok", f"{ours}, and all that it needs")
    family = {name: _version(name) for name in ("dagster", "dagster-webserver", "dagster-graphql")}
    if len({have for have in family.values() if have is not None}) > 1:
        found = ", ".join(f"{name} {have}" for name, have in family.items())
        yield Finding(
            "dagster family", "fail", found, f"pip install {' '.join(f'{name}==X' for name in family)}: one X"
        )


def _extras() -> Finding:
    from packaging.requirements import Requirement

    here: list[str] = []
    lacking: list[str] = []
    needs = [Requirement(text) for text in distribution(_DISTRIBUTION).requires or []]
    for extra, gives in _GIVES.items():
        of_it = [need for need in needs if need.marker is not None and need.marker.evaluate({"extra": extra})]
        of_it = [need for need in of_it if need.marker is not None and not need.marker.evaluate({"extra": ""})]
        installed = all(_version(need.name) is not None for need in of_it)
        if of_it:
            (here if installed else lacking).append(f"{extra} ({gives})")
    more = f"; not installed: {', '.join(lacking)}" if lacking else ""
    return Finding("extras", "ok", f"installed: {', '.join(here) or 'none'}{more}")


def _decoders() -> Finding:
    from PIL import features

    names = ("jpg", "libjpeg_turbo", "zlib", "webp", "libtiff", "jpg_2000", "avif")
    has = {name: features.version(name) if features.check(name) else None for name in names}
    found = ", ".join(f"{name} {number}" for name, number in has.items() if number)
    found = f"Pillow {_version('pillow')} ({found}), simplejpeg {_version('simplejpeg')}"
    if lacking := [name for name in ("jpg", "zlib", "webp") if not has[name]]:
        remedy = "install Pillow's own wheel: pip install --force-reinstall --only-binary :all: pillow"
        return Finding("decoders", "fail", f"Pillow was built without {', '.join(lacking)}", remedy)
    return Finding("decoders", "ok", found)


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    limit = _cgroup_number("memory.max", "memory/memory.limit_in_bytes")
    used = _cgroup_number("memory.current", "memory/memory.usage_in_bytes")
    found = f"{free // _MB:,} MB free"
    if limit is not None and limit < psutil.virtual_memory().total:
        free = min(free, limit - (used or 0))
        found = f"{free // _MB:,} MB free of the {limit // _MB:,} MB that this container may take"
    if free < _LEAST_MEMORY:
        return Finding(
            "memory", "warn", found, "give it 1 GB, or run with --workers 1 and smaller limits.max_memory_bytes"
        )
    return Finding("memory", "ok", found)


def _processors() -> Finding:
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    found = f"{may} of {os.cpu_count()} processors may be used"
    if quota is not None and quota < may:
        many = max(1, int(quota))
        remedy = f"set workers: {many}; more would only wait for each other"
        return Finding("processors", "warn", f"{found}, but the container gets {quota:.1f} at a time", remedy)
    return Finding("processors", "ok", found)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{_many(soft)} at once (at most {_many(hard)})"
    if 0 <= soft < _LEAST_FILES:
        return Finding("open files", "warn", found, f"ulimit -n {4 * _LEAST_FILES} before the run")
    return Finding("open files", "ok", found)


def _folders() -> Iterator[Finding]:
    if _SHARED.is_dir():
        free = shutil.disk_usage(_SHARED).free
        small = free < _LEAST_SHM
        remedy = "start the container with --shm-size 256m; loaders of PyTorch need it" if small else ""
        yield Finding("shared memory", "warn" if small else "ok", f"{_SHARED}: {free // _MB:,} MB free", remedy)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        yield Finding("temporary folder", "fail", f"{folder} cannot be written", "set TMPDIR to a folder that can")
    elif free < _LEAST_TEMPORARY:
        remedy = "set TMPDIR to a folder with more room: archives and large tables wait there"
        yield Finding("temporary folder", "warn", f"{folder}: {free // _MB:,} MB free", remedy)
    else:
        yield Finding("temporary folder", "ok", f"{folder}: {free // _MB:,} MB free")


def _many(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else f"{limit:,}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_quota() -> float | None:
    """Return how many processors the container's quota amounts to, None without one."""
    text = _cgroup_text("cpu.max")
    if text is not None:
        quota, _, period = text.partition(" ")
        return None if quota == "max" else int(quota) / int(period)
    quota_us, period_us = (_cgroup_number(name, f"cpu/{name}") for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def _cgroup_number(*names: str) -> int | None:
    text = _cgroup_text(*names)
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def _cgroup_text(*names: str) -> str | None:
    for name in names:
        path = Path("/sys/fs/cgroup") / name
        try:
            return path.read_text().strip()
        except OSError:
            continue
    return None

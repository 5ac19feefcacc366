"""Which of all annotations count: by image and project the newest, in some 120 bytes each, without what they say."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes

# The columns of ANNOTATION_ROWS that they are made of.
FACT_COLUMNS = ["sha256", "platform", "project", "imported", "digest", "class_label"]


@dataclass(frozen=True, slots=True)
class AnnotationFacts:
    """One entry for each row of some files, all arrays of one length.

    ``hashes`` (S32) are those of the images, ``projects`` (S16) hashes of platform and project, ``imported`` numbers of
    imports, ``digests`` (S16) of what is said, empty where nothing is, ``class_labels`` the classes that people gave.
    ``files`` and ``rows`` tell where it stands: the number of the file, and the row in it from 0.
    """

    hashes: NDArray[np.bytes_]
    projects: NDArray[np.bytes_]
    imported: NDArray[np.int32]
    digests: NDArray[np.bytes_]
    class_labels: pa.Array
    files: NDArray[np.int32]
    rows: NDArray[np.int64]

    @property
    def speaks(self) -> NDArray[np.bool_]:
        """Which of them say anything."""
        speaks: NDArray[np.bool_] = self.digests != b""
        return speaks

    def taken(self, places: NDArray[np.int64]) -> "AnnotationFacts":
        """Return some of the entries, in the order of their places."""
        return AnnotationFacts(
            self.hashes[places],
            self.projects[places],
            self.imported[places],
            self.digests[places],
            self.class_labels.take(pa.array(places)),
            self.files[places],
            self.rows[places],
        )

    def newest(self) -> "AnnotationFacts":
        """Return what counts, sorted by image and project: the newest import, and the last row of it."""
        order = np.lexsort((self.rows, self.files, self.imported, self.projects, self.hashes))
        hashes, projects = self.hashes[order], self.projects[order]
        last = np.ones(len(order), bool)
        last[:-1] = (hashes[1:] != hashes[:-1]) | (projects[1:] != projects[:-1])
        return self.taken(order[last])

    def changed_from(self, before: "AnnotationFacts") -> NDArray[np.bool_]:
        """Return which entries say something else than those of the same image and project in others, which count."""
        known, wanted = before.identities(), self.identities()
        said = np.zeros(len(wanted), "S16")
        if len(known):
            order = np.argsort(known)
            at = order[np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)]
            found = known[at] == wanted
            said[found] = before.digests[at[found]]
        changed: NDArray[np.bool_] = self.digests != said
        return changed

    def identities(self) -> NDArray[np.bytes_]:
        """Return image and project as one value, dtype S48."""
        parts = [np.ascontiguousarray(each).view(np.uint8).reshape(-1, each.itemsize) for each in self._names()]
        return np.ascontiguousarray(np.concatenate(parts, axis=1)).view("S48").reshape(-1)

    def classes(self) -> tuple[NDArray[np.bytes_], pa.Array]:
        """Return the images (sorted) that people gave a class, and these, of entries that count.

        Where several projects gave one, the newest import counts.
        """
        given = np.flatnonzero(pc.is_valid(self.class_labels).to_numpy(zero_copy_only=False))
        order = given[np.lexsort((self.projects[given], self.imported[given], self.hashes[given]))]
        last = np.ones(len(order), bool)
        last[:-1] = self.hashes[order[1:]] != self.hashes[order[:-1]]
        return self.hashes[order[last]], self.class_labels.take(pa.array(order[last]))

    def words(self) -> tuple[str, str]:
        """Return one word for all that is said by entries that count, and one for the classes; empty for nothing."""
        hashes, labels = self.classes()
        said = "\0".join(labels.to_pylist()).encode()
        return _word(np.sort(self.digests[self.speaks]).tobytes()), _word(hashes.tobytes() + said)

    def _names(self) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
        return self.hashes, self.projects


def facts_of(rows: pa.Table, number: int, first: int = 0) -> AnnotationFacts:
    """Return the entries of rows (FACT_COLUMNS) of one file, the first of which is row ``first`` of it."""
    digests = pc.fill_null(rows["digest"], "00" * 16).to_pylist()
    places = rows["platform"].to_pylist(), rows["project"].to_pylist()
    projects = {each: _project(*each) for each in set(zip(*places, strict=True))}
    return AnnotationFacts(
        packed_hashes(rows["sha256"].to_pylist()),
        np.array([projects[each] for each in zip(*places, strict=True)], "S16"),
        rows["imported"].to_numpy().astype(np.int32),
        np.frombuffer(bytes.fromhex("".join(digests)), "S16"),
        rows["class_label"].combine_chunks().cast(pa.large_string()),
        np.full(rows.num_rows, number, np.int32),
        np.arange(first, first + rows.num_rows),
    )


def joined_facts(parts: Sequence[AnnotationFacts]) -> AnnotationFacts:
    """Return the entries of several parts one after the other."""
    empty = pa.table({name: pa.array([], pa.int32() if name == "imported" else pa.string()) for name in FACT_COLUMNS})
    every = [facts_of(empty, 0), *parts]
    return AnnotationFacts(
        np.concatenate([part.hashes for part in every]),
        np.concatenate([part.projects for part in every]),
        np.concatenate([part.imported for part in every]),
        np.concatenate([part.digests for part in every]),
        pa.concat_arrays([part.class_labels for part in every]),
        np.concatenate([part.files for part in every]),
        np.concatenate([part.rows for part in every]),
    )


def _project(platform: str, project: str) -> bytes:
    return hashlib.sha256(f"{platform}\0{project}".encode()).digest()[:16]


def _word(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32] if content else ""

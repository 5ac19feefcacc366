"""DataChain: a folder again and again as it changes, one function in two processes, a saved dataset.

By hand, in an environment with ``datachain`` and ``pillow``, after each change of the folder:

    DATACHAIN_ROOT_DIR=root DATACHAIN_IGNORE_CHECKPOINTS=1 TALLY=tally python datachain_delta.py photos

It prints how many rows the dataset has; the file TALLY gets a byte for each image worked on. Its workers import nothing
that is not installed, so this script shares no code with the others.
"""

import hashlib
import io
import os
import sys
from pathlib import Path

import datachain
from PIL import Image, ImageOps


def main(folder: Path) -> None:
    files = datachain.read_storage(
        f"file://{folder.resolve()}",
        update=True,
        delta=True,
        delta_on="file.path",
        delta_compare=["file.etag", "file.size", "file.last_modified"],
    )
    photos = files.filter(datachain.C("file.path").glob("*.jpg")).settings(parallel=2)
    rows = photos.map(_finish, output={"sha256": str, "label": str, "jpeg": bytes}).save(folder.name)
    print("rows", rows.count())


def _finish(file: datachain.File) -> tuple[str, str, bytes]:
    raw = file.read()
    with Path(os.environ["TALLY"]).open("ab") as tally:
        tally.write(b".")
    with Image.open(io.BytesIO(raw)) as image:
        fitted = ImageOps.fit(image.convert("RGB"), (224, 224), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    fitted.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return hashlib.sha256(raw).hexdigest(), file.path.split("/")[-2], buffer.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The card of a dataset: what ``load_dataset`` reads to find a folder's files."""

from collections.abc import Mapping

import yaml


def dataset_card(files_of_splits: Mapping[str, str], text: str) -> str:
    """Return a ``README.md`` that names the files of each split by a pattern: no other file is taken for one."""
    files = [{"split": split, "path": pattern} for split, pattern in files_of_splits.items()]
    head = {"configs": [{"config_name": "default", "data_files": files}], "tags": ["image-assets"]}
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{text}\n"

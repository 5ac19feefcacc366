"""`dg scaffold defs image_assets.ImageDataset NAME --pictures FOLDER`: a defs.yaml with what there is to decide."""

import json
from pathlib import Path

import click
import dagster as dg
from pydantic import BaseModel, Field

from image_assets.settings import as_dataset_name

_YAML = """\
type: {type_name}

# The settings of a dataset; what is not said here has a default. Relative paths start at the folder of this file.
attributes:
  # Its group, and the first part of every asset's key.
  name: {name}
  # A folder, archive, table, list of URLs, or a bucket (s3://, gs://, az://).
  source:
    path: {pictures}
  # Everything that is made is kept here: a folder outside the definitions, or a bucket.
  store: {store}
  # Partitions: 16 to 64 is the advice.
  num_shards: 16
  # The label is the folder that an image lies in; or `file` (with path: labels.csv), or `none`.
  labels: {{kind: directory}}
  image: {{width_px: 224, height_px: 224, fit: cover}}
  output: {{format: jpeg, quality: 90}}
  # none: no feature vectors.
  features: {{extractor: efficientnet-lite0}}
  # Further: groups of duplicates, judged quality, train, val and test that share no duplicate, a report in HTML.
  # duplicates: {{enabled: true}}
  # quality: {{enabled: true}}
  # splits: {{method: fractions}}
  # report: {{enabled: true}}
  # Processes at once.
  workers: 2
"""
_PYTHON = '''\
"""The dataset {name}."""

import dagster as dg
from image_assets import ImageDataset
from image_assets.settings import make_settings


@dg.component_instance
def load(context: dg.ComponentLoadContext) -> ImageDataset:
    """Return the dataset; its relative paths start at the project's root."""
    settings = {{
        "name": "{name}",
        "source": {{"path": {pictures}}},
        "store": {store},
        "num_shards": 16,
    }}
    return ImageDataset(make_settings(settings, base=context.project_root))
'''


class DatasetParams(BaseModel):
    """What may be said when a dataset is scaffolded."""

    pictures: str = Field("data/raw", description="Folder (from the project's root), file or URL of the raw images.")
    store: str = Field("", description="Folder (from the project's root) or URL where everything is kept.")


class DatasetScaffolder(dg.Scaffolder[DatasetParams]):
    """Writes a commented defs.yaml, or a component.py."""

    @classmethod
    def get_scaffold_params(cls) -> type[DatasetParams]:
        """Return what may be said on the command line."""
        return DatasetParams

    def scaffold(self, request: dg.ScaffoldRequest[DatasetParams]) -> None:
        """Write the file; Dagster has made its folder."""
        folder = request.target_path.parent if request.append else request.target_path
        name = as_dataset_name(folder.name)
        pictures, store = request.params.pictures, request.params.store or f"data/store/{name}"
        if request.scaffold_format == "python":
            text = _PYTHON.format(name=name, pictures=json.dumps(pictures), store=json.dumps(store))
            (folder / "component.py").write_text(text, encoding="utf-8")
        else:
            places = {"pictures": json.dumps(_from_root(pictures)), "store": json.dumps(_from_root(store))}
            text = _YAML.format(type_name=request.type_name, name=name, **places)
            with (request.target_path if request.append else folder / "defs.yaml").open("a", encoding="utf-8") as file:
                file.write(f"---\n{text}" if request.append else text)
        local = (request.project_root or Path()) / Path(pictures).expanduser()
        if "://" not in pictures and not local.exists():
            click.echo(f"{local} does not exist yet: put pictures there, or change source.path.")


def _from_root(path: str) -> str:
    """Return a path as it stands in a defs.yaml: from the project's root, where it says no more."""
    if "://" in path or path.startswith(("/", "~", "{")):
        return path
    return "{{ context.project_root }}/" + path

"""`type: image_assets.ImageDataset`: a dataset as a component of anyone's Dagster project."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.core.decl import ComponentDecl
from pydantic import BaseModel, ValidationError

from image_assets.core.errors import ConfigError
from image_assets.defs.component_attributes import DatasetAttributes, filled_in, place_in
from image_assets.defs.component_scaffolder import DatasetScaffolder
from image_assets.settings import Settings, is_url, make_settings
from image_assets.settings.datasets import find_conflicts
from image_assets.settings.mistakes import list_mistakes


@dg.scaffold_with(DatasetScaffolder)
@dataclass(frozen=True)
class ImageDataset(dg.Component, dg.Resolvable):
    """A folder, bucket, archive or table of raw images as checked, incremental training data.

    Its attributes are the settings of one dataset, the same as in a settings file. Paths are relative to the folder of
    the defs.yaml; `{{ context.project_root }}/data` lies beside the project's pyproject.toml. It makes the assets
    raw_listing, image_shards (one partition a shard), training_index and what follows it, their checks, two jobs, and a
    sensor that asks for runs of what changed.
    """

    settings: Settings
    # Where they were read, for errors; empty: in Python.
    origin: str = ""

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what Dagster shows of this type."""
        return dg.ComponentTypeSpec(tags=["images"], produces=["asset", "asset_check", "job", "sensor"])

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Return the model of the attributes."""
        return DatasetAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "ImageDataset":
        """Return the component that a defs.yaml describes.

        Raises:
            ConfigError: there are no settings, or one is wrong once its templates are filled in.
        """
        if attributes is None:
            raise ConfigError(f"{context.path}: no attributes; write the dataset's name, source and store below them")
        return super().load(attributes, context)

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> "ImageDataset":
        """Return the component of attributes that were read, with templates filled in.

        Raises:
            ConfigError: a setting is wrong.
        """
        content: Mapping[str, Any] = filled_in(model.model_dump(), context)
        folder, origin = _place(context)
        try:
            return cls(make_settings(content, base=folder, origin=origin), origin)
        except ConfigError as error:
            cause = error.__cause__
            if not isinstance(cause, ValidationError):
                raise
            mistakes = list_mistakes(cause, Settings)
            raise ConfigError("; ".join(f"{place_in(context, item.loc)}: {item.what}" for item in mistakes)) from None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the dataset's definitions.

        Raises:
            ConfigError: another dataset of the project has its name or store, or the store lies where Dagster looks for
                definitions.
        """
        # Imported here: to list component types, as Dagster's tools do at each command, none of it is needed.
        from image_assets.defs.dataset import dataset_definitions

        # A component alone (`build_defs_for_component`) is part of no project.
        if isinstance(context.component_decl, ComponentDecl):
            self._refuse_clashes(context)
        return dataset_definitions(self.settings)

    def _refuse_clashes(self, context: dg.ComponentLoadContext) -> None:
        here = self.origin or f"dataset {self.settings.name!r}"
        folder = context.defs_module_path.resolve()
        if not is_url(self.settings.store) and Path(self.settings.store).is_relative_to(folder):
            raise ConfigError(
                f"{here}: store {self.settings.store} lies in {folder}, where Dagster looks for definitions; "
                "write for example {{ context.project_root }}/data/store/" + self.settings.name
            )
        for other in context.component_tree.get_all_components(ImageDataset):
            there = other.origin or f"another dataset in Python, {other.settings.name!r},"
            conflicts = find_conflicts({here: self.settings, there: other.settings}) if other is not self else {}
            if conflicts:
                raise ConfigError(conflicts[here])


def _place(context: dg.ResolutionContext) -> tuple[Path, str]:
    """Return the folder that relative paths start from, and what to call the place where the settings are."""
    positions = context.source_position_tree
    if positions is None:
        return Path(dg.ComponentLoadContext.from_resolution_context(context).project_root), "settings"
    file = Path(positions.position.filename)
    line = positions.position.start.line
    return file.parent, f"{file}:{line}" if line > 1 else str(file)

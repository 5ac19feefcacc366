"""The transforms that the settings list, in the order in which they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from image_assets.core.errors import ConfigError
from image_assets.settings.images import TransformSpec
from image_assets.transforms import build_transform, transform_name
from image_assets.transforms.base import Colour, Pixels, Transform
from image_assets.transforms.imported import source_digest


@dataclass(frozen=True, slots=True)
class Step:
    """A transform and where the settings list it."""

    setting: str
    name: str
    position: int
    transform: Transform

    @property
    def operation(self) -> str:
        """What its draws are keyed by, so that two entries of one name draw apart."""
        return f"{self.setting}[{self.position}].{self.name}"

    def described(self) -> dict[str, Any]:
        """Return what the recipe says of it, as plain data.

        Raises:
            ConfigError: it is the user's own and its source cannot be read.
        """
        parameters = self.transform.model_dump(mode="json")
        described = {"name": self.name, "version": self.transform.version, "parameters": parameters}
        if ":" in self.name:
            described["source"] = source_digest(type(self.transform))
        return described


@dataclass(frozen=True, slots=True)
class Steps:
    """All transforms of one variant."""

    before: tuple[Step, ...]  # on the upright original
    after: tuple[Step, ...]  # on the output size

    @classmethod
    def of(cls, steps: Sequence[Step]) -> "Steps":
        """Return the steps by stage, in each stage in the order given."""
        return cls(
            tuple(step for step in steps if step.transform.stage == "before_resize"),
            tuple(step for step in steps if step.transform.stage == "after_resize"),
        )


def list_steps(specs: Sequence[TransformSpec], setting: str) -> tuple[Step, ...]:
    """Return the steps of one list of the settings.

    Args:
        setting: the name of that list.

    Raises:
        ConfigError: a transform or parameter does not exist, or the order is one in which they cannot run.
    """
    steps: list[Step] = []
    for position, spec in enumerate(specs):
        try:
            step = Step(setting, transform_name(spec), position, build_transform(spec))
            step.described()  # Shows now, and not after the first image, that a source cannot be read.
        except ConfigError as error:
            raise ConfigError(f"{setting}: {error}") from error
        if step.transform.stage == "before_resize" and steps and steps[-1].transform.stage == "after_resize":
            raise ConfigError(
                f"{setting}: {step.name} works on the original and cannot follow {steps[-1].name}, "
                f"which works on the output size; list {step.name} first"
            )
        steps.append(step)
    return tuple(steps)


def apply_step(step: Step, pixels: Pixels, rng: np.random.Generator, background: Colour) -> Pixels:
    """Return the pixels that one transform makes of the given ones, contiguous after the resize.

    Raises:
        ConfigError: it returned what no transform may; the built-in ones never do, one of the user's own can.
    """
    result = step.transform.apply(pixels, rng, background)
    if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.ndim != 3 or result.size == 0:
        found = f"{result.dtype} of shape {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
        raise ConfigError(f"{step.setting}: {step.name} returned {found}; a transform returns uint8, three dimensions")
    keeps = slice(0, 3) if step.transform.stage == "after_resize" else slice(2, 3)
    if result.shape[keeps] != pixels.shape[keeps]:
        raise ConfigError(
            f"{step.setting}: {step.name} made shape {result.shape} of {pixels.shape}; transforms keep the channels, "
            "and after the resize also height and width"
        )
    # A crop of a large original stays a view: the resizer copies it piece by piece, and a copy would double its memory.
    return result if step.transform.stage == "before_resize" else np.ascontiguousarray(result)

"""The whole way of one image, from the bytes of its file to the bytes of its outputs."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from image_assets.core.errors import DecodeError
from image_assets.core.randomness import keyed_generator
from image_assets.core.sample import Facts, Output, Rendered
from image_assets.settings import Settings
from image_assets.transforms.base import Decoded, Pixels
from image_assets.transforms.decode import DECODER_VERSION, decode
from image_assets.transforms.detail import find_enough
from image_assets.transforms.encode import ENCODERS
from image_assets.transforms.fit import background_for, fit_pixels
from image_assets.transforms.frames import decode_frames
from image_assets.transforms.orientation import orient
from image_assets.transforms.resize import build_resizer
from image_assets.transforms.steps import Step, Steps, apply_step, list_steps

# Raised whenever the steps themselves begin to give other outputs: their order, the fit, the keys of the draws.
CHAIN_VERSION = 2


class Renderer:
    """Makes the outputs of single images by one dataset's settings. One instance serves one thread."""

    def __init__(self, settings: Settings) -> None:
        """Prepare everything that is the same for each image.

        Raises:
            ConfigError: the settings name a transform, parameter or resizer that does not exist.
        """
        self._settings = settings
        self._resizer = build_resizer(settings.image.resizer)
        plain = list_steps(settings.transforms, "transforms")
        added = list_steps(settings.augment.transforms, "augment.transforms")
        self._listed = plain, added
        self._plain, self._augmented = Steps.of(plain), Steps.of(plain + added)
        self._encoder = ENCODERS[settings.output.format]
        self._background = background_for(3 if settings.image.mode == "RGB" else 1, settings.image.background)
        before = (self._augmented if settings.augment.variants else self._plain).before
        self._enough_px = find_enough([step.transform for step in before], settings.image)

    def recipe(self) -> dict[str, Any]:
        """Return everything that decides the output bytes of one image, as plain data, and nothing else."""
        settings = self._settings
        plain, added = self._listed
        image = settings.image.model_dump(mode="json", exclude={"frames"})
        limits = {"max_file_bytes", "max_pixels"}
        if settings.image.frames == "all":
            # Only then, so that what was made before there were frames stays what it is.
            image["frames"] = "all"
            limits.add("max_frames")
        recipe: dict[str, Any] = {
            "chain": CHAIN_VERSION,
            "decoder": DECODER_VERSION,
            "image": {**image, "resizer_version": self._resizer.version},
            "output": {"format": settings.output.format, "version": self._encoder.version},
            "transforms": [step.described() for step in plain],
            "keep_gps": settings.keep_gps,
            "limits": settings.limits.model_dump(mode="json", include=limits),
            "packages": {name: version(name) for name in sorted({"pillow", "simplejpeg", *self._resizer.packages})},
        }
        if self._encoder.lossy:
            recipe["output"]["quality"] = settings.output.quality
        if settings.augment.variants:
            transforms = [step.described() for step in added]
            recipe["augment"] = {"variants": settings.augment.variants, "transforms": transforms}
        if any(step.transform.random for step in (*plain, *(added if settings.augment.variants else ()))):
            recipe["seed"] = settings.seed
        return recipe

    def render(self, raw: bytes, sha256: str) -> Rendered:
        """Return one image's facts and outputs.

        Args:
            raw: the bytes of its file.
            sha256: hex digest of these bytes; all random draws depend on it.

        Raises:
            DecodeError: the bytes cannot become pixels, or not with the memory there is.
            ConfigError: a transform of the user's own returned something that is no image.
        """
        try:
            if self._settings.image.frames == "all":
                return self._render_frames(raw, sha256)
            decoded = decode(raw, self._settings, enough_px=self._enough_px)
            return Rendered(decoded.facts, tuple(self._outputs(decoded, sha256, first=0)))
        except MemoryError as error:
            raise DecodeError("too_large", "not enough memory to make its outputs") from error

    def _render_frames(self, raw: bytes, sha256: str) -> Rendered:
        """Return the outputs of all frames; the facts are those of the first one, with the flags of any."""
        facts: list[Facts] = []
        outputs: list[Output] = []
        # Closed at once: what an error leaves behind would else hold a frame as long as somebody holds the error.
        with closing(decode_frames(raw, self._settings, enough_px=self._enough_px)) as frames:
            for decoded in frames:
                facts.append(decoded.facts)
                outputs += self._outputs(decoded, sha256, first=len(outputs))
        flags = sorted({flag for each in facts for flag in each.flags})
        return Rendered(replace(facts[0], flags=tuple(flags)), tuple(outputs))

    def _outputs(self, decoded: Decoded, sha256: str, *, first: int) -> list[Output]:
        """Return the outputs of one frame, numbered from ``first`` on."""
        return [self._encode(pixels, number) for number, pixels in self._variants(decoded, sha256, first)]

    def _variants(self, decoded: Decoded, sha256: str, first: int) -> Iterator[tuple[int, Pixels]]:
        """Yield the finished pixels of each variant of one frame, the plain one first, with their output numbers."""
        whole: Pixels | None = None
        for number in range(first, first + self._settings.augment.variants + 1):
            steps = self._plain if number == first else self._augmented
            if steps.before:
                upright = orient(decoded.pixels, decoded.turn)
                cut = self._apply(upright, steps.before, sha256, number)
                pixels = fit_pixels(cut, 1, self._settings.image, self._resizer)
            else:
                # Variants that all begin with the whole image share the resized one.
                whole = pixels = self._fit(decoded) if whole is None else whole
            yield number, self._apply(pixels, steps.after, sha256, number)

    def _fit(self, decoded: Decoded) -> Pixels:
        image, filled_px = self._settings.image, decoded.filled_px
        return fit_pixels(decoded.pixels, decoded.turn, image, self._resizer, filled_px=filled_px)

    def _apply(self, pixels: Pixels, steps: Sequence[Step], sha256: str, number: int) -> Pixels:
        for step in steps:
            rng = keyed_generator(self._settings.seed, sha256, step.operation, number)
            pixels = apply_step(step, pixels, rng, self._background)
        return pixels

    def _encode(self, pixels: Pixels, number: int) -> Output:
        data = self._encoder.encode(pixels, self._settings.output.quality)
        height_px, width_px = pixels.shape[:2]
        digest = hashlib.sha256(data).hexdigest()
        return Output(number, data, digest, width_px, height_px, self._settings.output.format)

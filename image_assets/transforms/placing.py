"""Where the pixels of an output come from, for the very parameters and draws that made it."""

from collections.abc import Sequence

from image_assets.core.errors import ConfigError
from image_assets.core.geometry import scaling
from image_assets.core.placement import Move, Placement
from image_assets.core.randomness import keyed_generator
from image_assets.core.sample import Facts
from image_assets.settings import Settings
from image_assets.transforms.base import Transform
from image_assets.transforms.detail import find_enough, jpeg_divisor
from image_assets.transforms.fit import fit_move
from image_assets.transforms.orientation import sideways, upright_to_stored
from image_assets.transforms.steps import Step, Steps, list_steps


class Placer:
    """Says of the outputs of single images where they come from, by one dataset's settings."""

    def __init__(self, settings: Settings) -> None:
        """Prepare everything that is the same for each image.

        Raises:
            ConfigError: a transform does not exist, or does not say where its pixels come from.
        """
        self._settings = settings
        plain = list_steps(settings.transforms, "transforms")
        added = list_steps(settings.augment.transforms, "augment.transforms")
        used = plain + added if settings.augment.variants else plain
        for step in used:
            _refuse_silent(step)
        self._plain, self._augmented = Steps.of(plain), Steps.of(plain + added)
        self._enough_px = find_enough([step.transform for step in Steps.of(used).before], settings.image)

    def placement(self, facts: Facts, sha256: str, variant: int) -> Placement:
        """Return how an output came from its upright original.

        Args:
            facts: of the raw image; its size, orientation, format, mode and flags count.
            sha256: hex digest of the raw bytes, by which the random transforms draw.
            variant: the number of the output; with frames, of one of the first frame.

        Raises:
            ConfigError: the output is of a further frame, whose original is another picture.
        """
        if variant > self._settings.augment.variants:
            raise ConfigError(f"output {variant} of {sha256[:12]} is of a further frame; only first ones are annotated")
        steps = self._augmented if variant else self._plain
        stored_px = (facts.raw_width_px, facts.raw_height_px)
        original_px = (stored_px[1], stored_px[0]) if sideways(facts.orientation) else stored_px
        divisor = self._divisor(facts, original_px)
        decoded_px = (-(-original_px[0] // divisor), -(-original_px[1] // divisor))
        moves = [Move(scaling(divisor, divisor), decoded_px)] if divisor > 1 else []
        moves += self._moves(steps.before, decoded_px, sha256, variant)
        size_px = moves[-1].size_px if moves else decoded_px
        # As the chain does: only a whole image is known to end inside its last pixels.
        filled_px = None if steps.before else (original_px[0] / divisor, original_px[1] / divisor)
        moves.append(fit_move(size_px, self._settings.image, filled_px=filled_px))
        moves += self._moves(steps.after, moves[-1].size_px, sha256, variant)
        return Placement(original_px, tuple(moves), upright_to_stored(original_px, facts.orientation))

    def _moves(self, steps: Sequence[Step], size_px: tuple[int, int], sha256: str, variant: int) -> list[Move]:
        moves: list[Move] = []
        for step in steps:
            rng = keyed_generator(self._settings.seed, sha256, step.operation, variant)
            moves += step.transform.moves(moves[-1].size_px if moves else size_px, rng)
        return moves

    def _divisor(self, facts: Facts, original_px: tuple[int, int]) -> int:
        """Return by how much less of an original was decoded; what the strict decoder refuses is decoded whole."""
        is_strict = (
            facts.raw_format == "JPEG" and facts.raw_mode in ("L", "RGB") and "lenient_decode" not in facts.flags
        )
        return jpeg_divisor(original_px, self._enough_px) if is_strict else 1


def placement(settings: Settings, facts: Facts, sha256: str, variant: int) -> Placement:
    """Return how one output came from its upright original; for many, keep a :class:`Placer`.

    Raises:
        ConfigError: a transform does not exist or does not say where its pixels come from, or the output is of a
            further frame.
    """
    return Placer(settings).placement(facts, sha256, variant)


def _refuse_silent(step: Step) -> None:
    """Accept a transform that says where its pixels come from, and says it of the pixels that it makes.

    Raises:
        ConfigError: it has no ``moves``, or inherits it from a class whose ``apply`` it does not inherit.
    """
    kinds = type(step.transform).__mro__
    applies, moves = (next(kind for kind in kinds if name in vars(kind)) for name in ("apply", "moves"))
    if moves is Transform or kinds.index(applies) < kinds.index(moves):
        raise ConfigError(
            f"{step.setting}: transform {step.name} does not say where its pixels come from, so no box or mask can "
            f"follow it; give {applies.__qualname__} a method `moves` (data/ANNOTATIONS.md)"
        )

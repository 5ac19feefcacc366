"""What a shell is offered while a command line is typed: cheap answers only, and never an error."""

import shlex
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from image_assets.cli.place import settings_files_here

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Complete = Callable[[click.Context, click.Parameter, str], list["CompletionItem"]]


def complete_words(*words: str) -> _Complete:
    """Return what offers some words."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[Any]:
        return _beginning(incomplete, words)

    return complete


def complete_config(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Offer the names of the datasets here, and settings files."""
    from click.shell_completion import CompletionItem

    try:
        # A shell puts an answer into the line as it is: one that it would take apart, or run, is left to its own
        # completion of files, which quotes.
        names = [path.stem for path in settings_files_here() if shlex.quote(path.stem) == path.stem]
    except OSError:
        names = []
    return _beginning(incomplete, names) or [CompletionItem(incomplete, type="file")]


def complete_reason(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Offer the reasons for which an image has no output."""
    from image_assets.core.sample import REASONS

    return _beginning(incomplete, REASONS)


def _beginning(incomplete: str, words: Iterable[str]) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]

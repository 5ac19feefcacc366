"""Help that teaches: what a command does, examples that run, and its options in groups."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import click

# The sections in which options stand, in this order; an option that names none is the command's own.
OWN, DATASET, INSTEAD, TELLING = "Options", "Which dataset", "Instead of what its settings say", "How it is told"
_ORDER = (OWN, DATASET, INSTEAD, TELLING)
_EXAMPLE = re.compile(r"image-assets(?: |$)")


class Option(click.Option):
    """An option that stands in a named section of the help."""

    def __init__(self, *arguments: Any, section: str = OWN, **keywords: Any) -> None:
        """Take what ``click.Option`` takes, and the section."""
        super().__init__(*arguments, **keywords)
        self.section = section


class _Teaching(click.Command):
    """Prints the examples of the docstring under a heading of their own, and the options in sections."""

    def format_help_text(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does, then its examples."""
        paragraphs = [part for part in _paragraphs(self) if not _is_example(part)]
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("\n\n".join(paragraphs))
        if examples := examples_of(self):
            with formatter.section("Examples"):
                for line in examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section; of a group its commands too."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in _ORDER}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            # An argument without words stands in the first line already.
            if record is not None and record[1]:
                sections[_section_of(param)].append(record)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Teaching(_Teaching):
    """A command whose help teaches."""


class TeachingGroup(_Teaching, click.Group):
    """A group of commands whose help teaches."""

    command_class = Teaching

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name; of one that is unknown say which was meant, perhaps."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(_unknown(name, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def command(name: str | None = None) -> Callable[[Callable[..., Any]], Teaching]:
    """Return what makes a function a command whose help teaches."""
    return click.command(name, cls=Teaching)


def option(*names: str, section: str = OWN, **keywords: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command an option in a section of its help."""
    return click.option(*names, cls=Option, section=section, **keywords)


def examples_of(command: click.Command) -> list[str]:
    """Return the example lines of a command's help, as they stand there."""
    return [line for part in _paragraphs(command) if _is_example(part) for line in part.splitlines()[1:]]


def _paragraphs(command: click.Command) -> list[str]:
    return re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))


def _section_of(param: click.Parameter) -> str:
    # What click itself adds stands at the end.
    return TELLING if {"--help", "--version"} & set(param.opts) else getattr(param, "section", OWN)


def _is_example(paragraph: str) -> bool:
    lines = [line.strip() for line in paragraph.splitlines()]
    return len(lines) > 1 and lines[0] == "\b" and _EXAMPLE.match(lines[1]) is not None


def _unknown(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else "image-assets --help lists all"
    return f"No such command {name!r}; {meant}"

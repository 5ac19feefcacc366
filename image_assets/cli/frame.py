"""The program's frame: commands in groups, errors as one line and an exit code, Ctrl-C and terminals of all kinds."""

import errno
import os
import sys
from contextlib import suppress
from typing import Any

import click

from image_assets.cli.help import TeachingGroup
from image_assets.cli.program import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE
from image_assets.core.errors import ConfigError, ImageAssetsError

_INTERRUPTED = "interrupted; what was finished is kept, and the same command again goes on with the rest"

_NO_ROOM = "make room, then give the same command again"
_NOT_ALLOWED = "make it readable and writable for you, or name another place"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _NO_ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _NOT_ALLOWED),
}


class Program(TeachingGroup):
    """Turns the platform's errors into one line and an exit code; lists its commands in groups."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Take what ``click.Group`` takes."""
        super().__init__(*arguments, **keywords)
        self._sections: dict[str, list[str]] = {}

    def add_to(self, title: str, *commands: click.Command) -> None:
        """Add commands to the section of the help with this title."""
        for command in commands:
            self.add_command(command)
            self._sections.setdefault(title, []).append(command.name or "")

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, section by section."""
        for title, names in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in names])

    def main(self, *arguments: Any, **keywords: Any) -> Any:
        """Run the program; what a terminal cannot show is escaped, not refused."""
        for stream in (sys.stdout, sys.stderr):
            # None where there is no terminal at all (pythonw, a closed descriptor).
            if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
                reconfigure(errors="backslashreplace")
        try:
            return super().main(*arguments, **keywords)
        except OSError as error:
            # Before a command ran: --help into a full disk.
            _complain(_said(error))
            sys.exit(EXIT_FAILURE)
        finally:
            _drop_what_cannot_be_written()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        # https://no-color.org; an option of the command decides over it.
        if ctx.color is None and os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            _complain(str(error) or _INTERRUPTED)
            ctx.exit(EXIT_INTERRUPTED)
        except ConfigError as error:
            _complain(error)
            ctx.exit(EXIT_USAGE)
        except BrokenPipeError:
            # Who reads the answer has enough (`| head`); click ends without a word.
            raise
        except ImageAssetsError as error:
            _complain(error)
            ctx.exit(EXIT_FAILURE)
        except OSError as error:
            _complain(_said(error))
            ctx.exit(EXIT_FAILURE)


def _said(error: OSError) -> str:
    """Return what the system refused, where, and what to do."""
    if error.errno == errno.ENOENT and not error.filename:
        return "the current folder is gone; change into one that is there"
    where = f"{error.filename}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}{f'; {remedy}' if remedy else ''}"


def _drop_what_cannot_be_written() -> None:
    """Leave nothing that Python would try to write at its end, and complain of in its own words."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: Exception | str) -> None:
    click.echo(f"{click.style('image-assets:', fg='red')} {' '.join(str(error).split())}", err=True)

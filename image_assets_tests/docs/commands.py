"""A line of shell on a page, taken apart: its commands, their words, its comment."""

import re
import shlex
from dataclasses import dataclass

_PARTS = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|&&|\|\||[;|]|\s+|[^\s'"\\;|&]+|&""", re.DOTALL)
_NEEDS_A_SHELL = re.compile(r"[|<>$*?&`(){}]|(?<!\\)\n")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True, slots=True)
class Command:
    """One command; ``text`` is what a shell would be given, of a pipeline with what follows the ``|``."""

    text: str
    comment: str

    @property
    def plain(self) -> bool:
        """Return whether its words are what they look like, and nothing but words."""
        bare = re.sub(r"'[^']*'", "", self.text)
        return not _NEEDS_A_SHELL.search(re.sub(r'"[^"$`]*"', "", bare))

    @property
    def words(self) -> list[str]:
        """Return the words without what is assigned before them."""
        found = shlex.split(self.text)
        while found and _ASSIGNMENT.match(found[0]):
            found = found[1:]
        return found

    @property
    def environment(self) -> dict[str, str]:
        """Return what is assigned before the words."""
        found = shlex.split(self.text)
        given = found[: len(found) - len(self.words)]
        return dict(word.split("=", 1) for word in given)

    @property
    def stages(self) -> list["Command"]:
        """Return the commands of a pipeline."""
        return [Command(text, self.comment) for text, _ in _split(self.text, {"|", "||"})]

    @property
    def exit_code(self) -> int:
        """Return how it ends by what the comment says, else 0."""
        said = re.search(r"exit code (\d+)", self.comment)
        return int(said[1]) if said else 0


def commands_of(text: str) -> list[Command]:
    """Return the commands of a block of shell, in order."""
    whole = re.sub(r" *\\\n *", " ", text)
    found = []
    for line in whole.splitlines():
        found += [Command(part, comment) for part, comment in _split(line, {"&&", ";"})]
    return found


def _split(line: str, operators: set[str]) -> list[tuple[str, str]]:
    """Return the parts between operators, each with the line's comment."""
    texts, comment, before = [""], "", " "
    for match in _PARTS.finditer(line):
        part = match[0]
        if part.startswith("#") and before.isspace():
            comment = line[match.start() + 1 :]
            break
        if part in operators:
            texts.append("")
        else:
            texts[-1] += part
        before = part
    return [(text.strip(), comment.strip()) for text in texts if text.strip()]

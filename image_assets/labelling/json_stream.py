"""JSON files larger than memory: the elements of their arrays, one at a time."""

import codecs
import json
from collections.abc import Collection, Iterator
from typing import IO, Any

from image_assets.core.errors import AnnotationError

_BLOCK_BYTES = 2**18
# One task with thousands of polygons takes some MB.
MOST_ELEMENT_CHARS = 64 * 2**20
_SPACE = " \t\r\n"


def iter_elements(file: IO[bytes], name: str) -> Iterator[Any]:
    """Yield the elements of a file that is one array.

    Raises:
        AnnotationError: it is no array, or breaks off, or an element is too large or is no JSON.
    """
    text = _Text(file, name)
    text.expect("[", "a JSON array ([ ... ])")
    yield from text.elements()
    text.end()


def iter_members(file: IO[bytes], name: str, arrays: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield (name, element) of some arrays in a file that is one object; its other members are passed over.

    Raises:
        AnnotationError: it is no object, or one of the arrays is none, or as :func:`iter_elements`.
    """
    text = _Text(file, name)
    text.expect("{", "a JSON object ({ ... })")
    if text.peek() == "}":
        return
    while True:
        member = text.value()
        text.expect(":", f"a colon after {str(member)[:40]!r}")
        if member in arrays:
            text.expect("[", f"an array as {member!r}")
            for element in text.elements():
                yield str(member), element
        else:
            text.value()
        if text.take(",}", f"a comma or the end of the object after {str(member)[:40]!r}") == "}":
            break
    text.end()


def parse_line(line: bytes) -> Any:
    """Return the value of one line.

    Raises:
        AnnotationError: it is no JSON.
    """
    try:
        return _DECODER.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"it is no JSON: {_reason(error)}") from error


def _refuse_constant(name: str) -> None:
    raise _ConstantError(f"{name} is no number in JSON")


class _ConstantError(ValueError):
    """NaN or infinity where JSON has numbers."""


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


class _Text:
    """The part of a file that is being looked at."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at, self._passed, self._ended = "", 0, 0, False

    def elements(self) -> Iterator[Any]:
        """Yield the elements of an array whose bracket was taken, and take the one at its end."""
        if self.peek() == "]":
            self._at += 1
            return
        number = 0
        while True:
            number += 1
            yield self.value()
            if self.take(",]", f"a comma or the end of the array after element {number}") == "]":
                return

    def value(self) -> Any:
        """Return the next value and go behind it."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except _ConstantError as error:
                raise self._error(str(error)) from error
            except RecursionError as error:
                raise self._error("it is nested too deeply") from error
            except ValueError as error:
                if self._ended or len(self._text) - self._at > MOST_ELEMENT_CHARS:
                    raise self._error(_reason(error)) from error
            else:
                # A number that ends where the text ends may go on.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            if len(self._text) - self._at > MOST_ELEMENT_CHARS:
                raise self._error(f"a value takes more than {MOST_ELEMENT_CHARS} characters")
            # As much again each time: what is large is not parsed from its beginning too often.
            self._more(max(_BLOCK_BYTES, len(self._text) - self._at))

    def peek(self) -> str:
        """Go to the next character that is no space and return it, empty at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more(_BLOCK_BYTES)

    def take(self, allowed: str, what: str) -> str:
        """Take the next character, which is one of a few."""
        found = self.peek()
        if not found or found not in allowed:
            raise self._error(f"{what} is missing" if found else f"it breaks off: {what} is missing")
        self._at += 1
        return found

    def expect(self, character: str, what: str) -> None:
        """Take the next character, which is this one."""
        self.take(character, what)

    def end(self) -> None:
        """Accept the end of the file."""
        if self.peek():
            raise self._error("something follows what should be all of it")

    def _more(self, size_bytes: int) -> None:
        data = self._file.read(size_bytes)
        self._passed += self._at
        try:
            self._text = self._text[self._at :] + self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise self._error("it is no UTF-8") from error
        self._at, self._ended = 0, not data

    def _error(self, text: str) -> AnnotationError:
        return AnnotationError(
            f"{self._name} is no JSON that can be read, at character {self._passed + self._at}: {text}"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]

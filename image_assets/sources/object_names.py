"""Names of objects that are no paths: which are, which count as hidden, and under what keys they stand."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from image_assets.sources.names import escaped

# A part that is empty, or leads to here or up, and what no terminal, file or log should be given. Read by Python and
# by Arrow.
NO_PATH = r"^/|//|/$|(^|/)\.\.?(/|$)|[\x00-\x1f\x7f]"
# "." and ".." are no names that somebody wanted to hide.
HIDDEN = r"(^|/)\.([^./]|\.[^/])"
_NO_PATH = re.compile(NO_PATH)
_HIDDEN = re.compile(HIDDEN)
_DOTS = re.compile(r"(?:(?<=/)|^)\.\.?(?=/|$)")
_ODD_SLASH = re.compile(r"^/|(?<=/)/|/\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_path(name: str) -> bool:
    """Return whether a name is a path that leads down, part by part."""
    return _NO_PATH.search(name) is None


def is_hidden(name: str) -> bool:
    """Return whether an object or a folder of it begins with a dot."""
    return _HIDDEN.search(name) is not None


def key_of(name: str) -> str:
    """Return the key of an object when no other has it: the name in NFC if it is a path, else as ``%XX`` has it.

    Names that are no paths have different keys, and each can be a path. A slash at the beginning, at the end or after
    another is ``%2F``, a part that is ``.`` or ``..`` has ``%2E``; so ``a//b.jpg`` is ``a/%2Fb.jpg``.
    """
    if is_path(name):
        return unicodedata.normalize("NFC", name)
    key = _quoted(_DOTS, name.replace("%", "%25"))
    key = _quoted(_CONTROL, _quoted(_ODD_SLASH, key))
    return key if unicodedata.is_normalized("NFC", key) else escaped(key.encode())


def keys_of(names: Sequence[str], held: Callable[[set[str]], set[str]]) -> list[str]:
    """Return a key for each of some names that are not their own: no two alike, and none the name of another object.

    Of two that want one key the first in the order of bytes has it. The other's bytes outside ASCII are written
    ``%XX``, and as long as that is taken, too, each ``%`` is written ``%25``.

    Args:
        held: returns which of some keys are names of objects as they are.
    """
    keys: dict[str, str] = {}
    used: set[str] = set()
    left = {name: _candidates(name) for name in sorted(names, key=str.encode)}
    while left:
        wanted = {name: next(candidates) for name, candidates in left.items()}
        taken = held(set(wanted.values())) | used
        for name, key in wanted.items():
            if key not in taken:
                keys[name] = key
                taken.add(key)
                used.add(key)
                del left[name]
    return [keys[name] for name in names]


def _candidates(name: str) -> Iterator[str]:
    """Yield ever other keys for a name."""
    yield (key := key_of(name))
    if is_path(name):
        yield (key := escaped(name.encode()))
    while True:
        yield (key := key.replace("%", "%25"))


def _quoted(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: "".join(f"%{ord(letter):02X}" for letter in found[0]), text)

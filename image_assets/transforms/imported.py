"""Transforms of the user's own, named in the settings by their import path, ``package.module:Class``."""

import functools
import hashlib
import importlib
import inspect
import io
import sys
import tokenize
from typing import Any, TypeGuard

from image_assets.core.errors import ConfigError
from image_assets.transforms.base import Transform

_STAGES = ("before_resize", "after_resize")
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def import_transform(path: str) -> type[Transform]:
    """Return the class that an import path names.

    Raises:
        ConfigError: there is no such module or attribute, the module fails while it is imported, or what it holds under
            that name is no transform.
    """
    module_name, _, class_name = path.partition(":")
    try:
        kind: Any = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"transform {path!r} cannot be imported: {_line(error)}") from error
    # A module runs as it is imported, so this is the user's code, and any failure of it is a wrong setting here.
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"transform {path!r} cannot be imported: {module_name!r} raised {type(error).__name__}: {_line(error)}"
        ) from error
    if not _declared(kind):
        raise ConfigError(
            f"transform {path!r} is no transform; subclass image_assets.transforms.base.Transform, define apply, "
            f"and set version (a whole number), stage ({' or '.join(_STAGES)}) and random (true or false)"
        )
    return kind


@functools.cache
def source_digest(kind: type[Transform]) -> str:
    """Return a fingerprint, 16 hex digits, of the source text that a user's transform was imported from.

    It covers the whole modules of the class and of those it inherits from, not the class statement alone, because the
    constants and functions beside a class decide its pixels as much as its methods do, and reading a module costs less
    than decoding one image. Blank lines and lines that hold only a comment do not count; every other change does, for a
    dataset made anew in vain costs time and one not made anew is wrong. What those modules import is not covered: raise
    the class's ``version`` when that changes. Classes of this package count by their ``version``, as they do by name.

    It is read once for each class, as near to the import as can be, so a file that is edited while the process runs
    does not put a new fingerprint on pixels of the old code.

    Raises:
        ConfigError: Python cannot show the source, as of compiled or generated code.
    """
    digest = hashlib.sha256()
    for each in kind.__mro__:
        if each in Transform.__mro__ or each.__module__.partition(".")[0] in sys.stdlib_module_names:
            continue
        text = f"version {each.version}" if _ours(each) else _source(each)
        digest.update(f"{each.__qualname__}\0{text}\0".encode())
    return digest.hexdigest()[:16]


def _declared(kind: object) -> TypeGuard[type[Transform]]:
    return (
        isinstance(kind, type)
        and issubclass(kind, Transform)
        and not inspect.isabstract(kind)
        and type(getattr(kind, "version", None)) is int
        and getattr(kind, "stage", None) in _STAGES
        and type(getattr(kind, "random", None)) is bool
    )


def _ours(kind: type) -> TypeGuard[type[Transform]]:
    return issubclass(kind, Transform) and kind.__module__.startswith(f"{__package__}.")


def _source(kind: type) -> str:
    try:
        # Asked for the class first: one made by exec or type() has a module, but is not written there.
        inspect.getsource(kind)
        return _without_blanks(inspect.getsource(sys.modules[kind.__module__]))
    except (OSError, TypeError, KeyError, SyntaxError, tokenize.TokenError) as error:
        raise ConfigError(
            f"transform {kind.__module__}:{kind.__qualname__} has no source that can be read ({_line(error)}), so a "
            "change of it would go unseen; write a class statement in a .py file that calls it, and raise the version "
            "of that class when what it calls changes"
        ) from error


def _without_blanks(text: str) -> str:
    """Return the text without its empty lines and comment lines, but for those inside string literals."""
    # A token spans all lines of a string literal, so what looks like a comment in one is kept.
    kept = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    lines = text.split("\n")
    return "".join(f"{line}\n" for number, line in enumerate(lines, 1) if number in kept)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"

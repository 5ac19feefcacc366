"""What a web server's X-Robots-Tag says about using an image."""

from collections.abc import Iterable

# The words that img2dataset, which introduced noai and noimageai, keeps to.
_OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex"})
# Words with a value of their own; before any other colon stands the name of a robot.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opt_out_of(headers: Iterable[str], agent: str) -> str | None:
    """Return the first word that asks a robot named ``agent`` to leave an image alone, or None.

    Args:
        headers: the values of X-Robots-Tag, like ``noai, nofollow`` (for everybody) or ``some-robot: noindex``.
    """
    for header in headers:
        addressed = True
        for part in header.lower().split(","):
            name, colon, rest = part.partition(":")
            word = name.strip()
            if colon and word not in _VALUED:
                addressed = word in {agent.lower(), "*"}
                word = rest.strip()
            if addressed and word in _OPT_OUTS:
                return word
    return None

"""Texts of strangers, made so that they stay in one line and harm nothing around them."""


def printable(text: str) -> str:
    """Return a text in one line in which nothing turns, hides or breaks the rest; what would is written as a code."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown(text: str) -> str:
    """Return a text that can be printed in one line as it is, any other between quotes and with codes."""
    return text if text.isprintable() else repr(text)


def one_line(text: str) -> str:
    """Return the words of a text with one space between them; what cannot be printed is left out."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def cut(text: str, most: int) -> str:
    """Return a text, of a longer one its beginning."""
    return text if len(text) <= most else f"{text[: most - 1]}…"

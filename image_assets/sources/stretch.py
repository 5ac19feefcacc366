"""A stretch of a file that is read once and forward, a buffer at a time and never beyond its end."""

from image_assets.sources.trees import TreeReader


class Stretch:
    """The bytes ``[start, end)`` of a file.

    ``position`` is where in the file it is read next. ``buffer_bytes`` are asked of the file at once: in a bucket each
    such read is a request.
    """

    def __init__(self, reader: TreeReader, start: int, end: int, buffer_bytes: int) -> None:
        self.position = start
        self.end = end
        self._reader = reader
        self._buffer_bytes = buffer_bytes
        self._start = start
        self._data = b""

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end.

        Raises:
            SourceFileError: they cannot be read (reason unreadable).
            VanishedError: the file is gone, or other bytes have come in its place.
        """
        size = min(size, self.end - self.position)
        at = self.position - self._start
        data = self._data[at : at + size]
        if len(data) < size:
            self._start = self.position + len(data)
            # What was read goes before more comes.
            self._data = b""
            self._data = self._reader.read_at(self._start, self._ahead(size - len(data)))
            missing = size - len(data)
            data = data + self._data[:missing] if data else self._data[:missing]
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> None:
        """Go on at a later position, without a read of what lies before it."""
        self.position = position

    def _ahead(self, least: int) -> int:
        return min(max(least, self._buffer_bytes), self.end - self._start)

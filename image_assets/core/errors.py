"""Every error the platform raises on purpose: each says what was found, where, and what would do."""


class ImageAssetsError(Exception):
    """Base of all of them; the command line prints its text as one line, without a traceback."""


class ConfigError(ImageAssetsError):
    """A setting, a command-line option or a settings file is wrong."""


class MissingExtraError(ImageAssetsError):
    """An optional package is needed; the text names its install command."""


class SourceError(ImageAssetsError):
    """Where the raw images come from is missing, empty or cannot be listed."""


class ContainerError(SourceError):
    """One archive or table of a source cannot be listed; what it held stays, and the others go on."""


class SourceFileError(ImageAssetsError):
    """One raw image cannot be read; the image becomes a failed row with this reason.

    ``reason`` is a code from :mod:`image_assets.core.sample`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class VanishedError(ImageAssetsError):
    """One raw image was listed and is gone now; it is treated as not listed."""


class DecodeError(ImageAssetsError):
    """One image's bytes cannot become pixels; the image becomes a failed row with this reason.

    ``reason`` is a code from :mod:`image_assets.core.sample`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StoreError(ImageAssetsError):
    """The store cannot be read or written, or holds something this version does not know."""


class CommitConflictError(StoreError):
    """Another run committed this version first; plan again from the new state."""


class EngineError(ImageAssetsError):
    """Tasks could not be run at all (not: one image failed)."""


class DatasetError(ImageAssetsError):
    """A published dataset was asked for something it does not hold."""


class WarehouseError(ImageAssetsError):
    """A data warehouse refuses something, or does not answer."""


class NotificationError(ImageAssetsError):
    """A webhook does not take a message; the text never holds its URL."""


class AnnotationError(ImageAssetsError):
    """An annotation says something that cannot be: a box without width, a mask of another size than its image."""

"""Processes of a test's cluster, told by a mark in their environment."""

from contextlib import suppress

import psutil

MARK = "IMAGE_ASSETS_TEST_CLUSTER"


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that have a mark in their environment: what they start has it too, whoever is its parent."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found

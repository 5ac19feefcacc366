"""What a soak prints at its end, and its exit code."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from image_assets_tests.soak.judging import Verdict
from image_assets_tests.soak.memory import Memory


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print numbers, one a line."""
    for name, value in facts.items():
        print(f"{name}: {value}")


def print_memory(memory: Memory) -> None:
    """Print of each server the longest life."""
    for life in memory.longest_lives():
        print(
            f"memory of the {life.name}, longest life {life.seconds:.0f} s: "
            f"{life.warm_mb:.0f} MB when warm, {life.last_mb:.0f} MB at its end, {life.most_mb:.0f} MB at most"
        )


def print_verdicts(verdicts: Iterable[Verdict]) -> bool:
    """Print each verdict as it is found; return whether all claims hold."""
    holds = True
    for verdict in verdicts:
        print(f"{'holds' if verdict.holds else 'FAILS'}: {verdict.claim}{': ' if verdict.found else ''}{verdict.found}")
        sys.stdout.flush()
        holds = holds and verdict.holds
    return holds

"""Numbers as Prometheus reads them: its text format, or OpenMetrics."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: the name of its metric, what tells it from others of that name, and its value."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def exposition(samples: Iterable[Sample], help_texts: Mapping[str, str], *, openmetrics: bool = False) -> str:
    """Return samples in Prometheus' format, those of a name together, in the order of the help texts.

    All are gauges: what is there now, read from the store, and no counter of a process.

    Args:
        help_texts: of each metric what it is, in a sentence; of a name that is not among them nothing is written.
    """
    by_name: dict[str, list[str]] = {name: [] for name in help_texts}
    for sample in samples:
        by_name[sample.name].append(f"{sample.name}{_labels(sample.labels)} {_number(sample.value)}\n")
    parts = []
    for name, lines in by_name.items():
        if lines:
            told = _escaped(help_texts[name], quotes=openmetrics)
            parts += [f"# HELP {name} {told}\n", f"# TYPE {name} gauge\n", *sorted(lines)]
    return "".join([*parts, "# EOF\n"] if openmetrics else parts)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in sorted(labels.items())) + "}"


def _escaped(text: str, *, quotes: bool) -> str:
    # Half a pair of UTF-16 comes from a file name that is no text, and no reader takes it.
    text = text.encode("utf-8", "backslashreplace").decode().replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)

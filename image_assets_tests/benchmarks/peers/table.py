"""The Markdown table of a benchmark, and its place in the README."""

from collections.abc import Sequence
from pathlib import Path

from image_assets_tests.benchmarks.peers.registry import OURS, YARDSTICK
from image_assets_tests.benchmarks.peers.rounds import Again, Contender

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- begin: peers -->", "<!-- end: peers -->"


def table(contenders: Sequence[Contender], sizes: tuple[int, int], command: str) -> str:
    """Return the results, fastest first; ``sizes`` are the numbers of images of the two cold runs."""
    ours_ms, bare_ms = (_marginal_of(contenders, name, sizes) for name in (OURS, YARDSTICK))
    few, many = sizes
    walls = [f"{few:,} images, s", f"{many:,} images, s"]
    costs = ["ms an image", "x ours", "x bare", "start-up s", "CPU s per 1,000", "peak MB", "PSNR dB"]
    columns = ["tool", "package", *walls, *costs, "nothing changed", "one file changed"]
    lines = [_line(columns), _line(["---", "---", *["---:"] * (len(columns) - 2)])]
    fit = [contender for contender in contenders if not contender.failure]
    for contender in sorted(fit, key=lambda contender: _marginal_ms(contender, sizes)):
        lines.append(_line(_cells(contender, sizes, ours_ms, bare_ms)))
    for contender in contenders:
        if contender.failure:
            lines.append(_line([*_name(contender), contender.failure]))
    repeat = max((len(usages) for contender in fit for usages in contender.cold.values()), default=0)
    head = f"`{command}` on 2 cores; the best of {repeat}, in turns. How to read the columns stands above."
    return "\n".join([head, "", *lines])


def write_table(markdown: str, readme: Path = README) -> None:
    """Put the table between the two markers of the README.

    Raises:
        ValueError: a marker is missing.
    """
    text = readme.read_text(encoding="utf-8")
    before, rest = text[: text.index(BEGIN)], text[text.index(END) :]
    readme.write_text(f"{before}{BEGIN}\n{markdown}\n{rest}", encoding="utf-8")


def _cells(contender: Contender, sizes: tuple[int, int], ours_ms: float, bare_ms: float) -> list[str]:
    few, many = (contender.best(size) for size in sizes)
    marginal_ms = _marginal_ms(contender, sizes)
    peak_bytes = max(usage.peak_bytes for usage in contender.cold[sizes[1]])
    return [
        *_name(contender),
        f"{few.wall_s:.1f}",
        f"{many.wall_s:.1f}",
        f"{marginal_ms:.2f}",
        f"{marginal_ms / ours_ms:.2f}",
        f"{marginal_ms / bare_ms:.2f}",
        f"{few.wall_s - sizes[0] * marginal_ms / 1000:.1f}",
        f"{many.cpu_s / sizes[1] * 1000:.1f}",
        f"{peak_bytes / 1e6:.0f}",
        f"{contender.verdict.psnr_db:.1f}" if contender.verdict else "",
        _again(contender.unchanged),
        _again(contender.changed),
    ]


def _name(contender: Contender) -> list[str]:
    crashes = f", {contender.crashes} of {contender.runs} runs crashed" if contender.crashes else ""
    return [contender.peer.title, f"{contender.peer.package} {contender.version}{crashes}"]


def _again(run: Again | None) -> str:
    if run is None:
        return ""
    stale = f", **{run.stale_images} stale**" if run.stale_images else ""
    return f"{run.wall_s:.1f} s, {run.processed:,} done{stale}"


def _marginal_of(contenders: Sequence[Contender], name: str, sizes: tuple[int, int]) -> float:
    """Return a tool's cost of one more image in ms; not a number when it took no part or failed."""
    for contender in contenders:
        if contender.name == name and not contender.failure:
            return _marginal_ms(contender, sizes)
    return float("nan")


def _marginal_ms(contender: Contender, sizes: tuple[int, int]) -> float:
    few, many = sizes
    return (contender.best(many).wall_s - contender.best(few).wall_s) / (many - few) * 1000


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

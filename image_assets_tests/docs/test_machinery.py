"""What would be wrong on a page is found: without this a page could say anything."""

import os
from pathlib import Path

import pytest
from click import ClickException

from image_assets.core.errors import ConfigError
from image_assets_tests.docs.claims import wrong_claims
from image_assets_tests.docs.commands import commands_of
from image_assets_tests.docs.markdown import anchors_of, blocks_of, links_of, unread_of
from image_assets_tests.docs.story import Story

Errors = type[BaseException] | tuple[type[BaseException], ...]
WRONG: list[tuple[str, Errors]] = [
    ("```bash\nfrobnicate --all\n```", AssertionError),
    ("```bash\nls nowhere\n```", AssertionError),
    ("```bash\ntrue | frobnicate\n```", AssertionError),
    ("```bash\ntrue && frobnicate\n```", AssertionError),
    ("```bash\nimage-assets status --config nowhere.yaml\n```", AssertionError),
    # What names another machine is not run, and yet compared with the options there are.
    ("```bash\nimage-assets run --input s3://bucket/raw --wrokers 2\n```", ClickException),
    ("```bash\ndagster dev --prot 3001\n```", ClickException),
    ("```bash\ndagster dev -m image_assets.nowhere\n```", AssertionError),
    ("```bash\npip install 'image-assets[trch]'\n```", AssertionError),
    ("```bash\npython -m image_assets_tests.nowhere\n```", AssertionError),
    ("```bash\npython -m image_assets_tests.benchmarks.splits --imags 3\n```", SystemExit),
    ("```bash\npython -m pytest image_assets_tests/nowhere\n```", AssertionError),
    ("```bash\naws sqs create-queue --queue-nmae photos\n```", AssertionError),
    ("```bash\ndocker compose -f nowhere.yaml up\n```", AssertionError),
    ("```python\nfrom image_assets import nothing\n```", ImportError),
    ("```python\nassert 1 == 2\n```", AssertionError),
    ("```python\nimport torch_nowhere\n```", ModuleNotFoundError),
    # A block that lacks a package is compiled, and its imports are looked up.
    ("```python\nimport tensorflow\nfrom image_assets.loaders import to_nothing\n```", (AssertionError, ImportError)),
    ("```yaml\nnum_shard: 4\n```", AssertionError),
    ("```yaml\nimage: {width: 4}\n```", ConfigError),
    ("```yaml\nnum_shards: 4\nnum_shards: 0\n```", ConfigError),
    ("```json\n{,}\n```", ValueError),
    ("```rust\nfn main() {}\n```", AssertionError),
    ("```\nwhat is this?\n```", AssertionError),
    ("```text\nimage-assets run\n```", AssertionError),
    ("<!-- test: ls nowhere -->\n", AssertionError),
]
CLAIMS = [
    "`image-assets rnu`",
    "`image-assets run --wrokers 2`",
    "`image-assets labels exprot`",
    "`features.extractr`",
    "`IMAGE_ASSETS_NOTHING_READS_THIS`".replace("THIS", "ME"),
    "`image_assets/nowhere.py`",
    "`pip install 'image-assets[trch]'`",
    "`dagster dev --prot 3001`",
    "| setting | default |\n|---|---|\n| `num_shards` | 17 |\n",
]


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A page in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return Story(Path("page.md"), tmp_path, monkeypatch)


@pytest.mark.parametrize(("page", "error"), WRONG)
def test_a_wrong_block_is_found(story: Story, page: str, error: Errors) -> None:
    (block,) = blocks_of(page)
    with pytest.raises(error):
        story.run(block)


@pytest.mark.parametrize("text", CLAIMS)
def test_a_wrong_claim_is_found(text: str) -> None:
    assert len(list(wrong_claims(text))) == 1


def test_blocks_find_what_those_before_them_left(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    page = """
<!-- test: printf 'three' > count.txt -->
```bash
export COUNT=$(cat count.txt)     # a comment; with && in it
mkdir -p deep && cd deep
```
```python
import os
from pathlib import Path
kept = os.environ["COUNT"] + Path("count.txt").read_text()
```
```python
# mine.py
COUNT = 3
```
1. in a list
   ```python
   import mine
   assert (kept, mine.COUNT) == ("threethree", 3)
   print("to the end")
   ```
"""
    for block in blocks_of(page):
        story.run(block)
    assert os.environ["COUNT"] == "three"
    assert "to the end" in capsys.readouterr().out


def test_a_line_is_cut_where_a_shell_would() -> None:
    text = "A=1 one 'two && #3' | four # five; six\nseven \\\n  eight; nine#10"
    found = [(command.text, command.comment) for command in commands_of(text)]
    assert found == [("A=1 one 'two && #3' | four", "five; six"), ("seven eight", ""), ("nine#10", "")]
    first = commands_of(text)[0]
    assert [stage.words for stage in first.stages] == [["one", "two && #3"], ["four"]]
    assert (first.environment, first.plain) == ({"A": "1"}, False)


def test_links_anchors_and_what_would_be_overlooked_are_seen() -> None:
    text = "# A `code` head, and [more](x.md)\n## Twice\n## Twice\n![](a.png) `[no](link)`\n\n    indented\n"
    assert anchors_of(text) == {"a-code-head-and-more", "twice", "twice-1"}
    assert [(link.target, link.picture) for link in links_of(text)] == [("x.md", False), ("a.png", True)]
    assert unread_of(text) == [6]
    assert unread_of("> ```bash\n> ls\n> ```\n") == [1, 3]
    assert unread_of("a\n~~~bash\nls\n~~~\n<!-- test: ls\n-->\n```bash\nnever closed\n") == [2, 4, 5, 7]

"""YAML that cannot grow: plain data alone, each key once, and no aliases that multiply what stands there."""

from typing import Any

import yaml

# More than any settings file or dataset card holds; what is larger comes from aliases of aliases.
_MAX_VALUES = 100_000


def read_yaml(text: str, *, unique_keys: bool = True) -> Any:
    """Return what a YAML text says.

    Nine lines of aliases can stand for a thousand million values. Read, they take no room; whoever prints or compares
    them once runs out of memory. So they are counted as if each was written out.

    Args:
        unique_keys: refuse a mapping in which a key stands twice; without, the last counts.

    Raises:
        yaml.YAMLError: it is no YAML, asks for objects of Python, or is too large once its aliases are written out.
        ValueError: a value cannot be what it says, such as the 31st of February.
        RecursionError: it is nested too deeply.
    """
    # Made from SafeLoader.
    return yaml.load(text, Loader=_StrictLoader if unique_keys else _BoundedLoader)  # noqa: S506


class _BoundedLoader(yaml.SafeLoader):
    """Safe YAML of a bounded number of values."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _values(node, {}) > _MAX_VALUES:
            raise yaml.YAMLError(f"it holds more than {_MAX_VALUES:,} values once its aliases (*) are written out")
        return node


class _StrictLoader(_BoundedLoader):
    """Bounded YAML in which a key may stand once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise yaml.YAMLError(f"{twice[0]!r} stands there twice, {str(node.start_mark).strip()}")
        return super().construct_mapping(node, deep=deep)


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node has, each alias counted as what it stands for.

    Raises:
        yaml.YAMLError: it holds itself.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    found = known.get(id(node))
    if found == 0:
        raise yaml.YAMLError(f"a value holds itself, {str(node.start_mark).strip()}")
    if found is None:
        known[id(node)] = 0
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        found = known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return found

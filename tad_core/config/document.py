"""A YAML file as it stands: its plain tree, and on which line of which file each field of it is.

YAML forbids a key given twice and PyYAML takes the last one without a word, so that a setting further up has no
effect; here it is an error. Anchors and merge keys (``<<``) work as they do in PyYAML: a key beside ``<<`` is meant to
replace the merged one, and is no second.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tad_core.errors import ConfigError

#: Keys that are signs of YAML itself: ``<<`` and ``=``.
_SIGNS = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")


@dataclass
class Document:
    """What a YAML text holds.

    Attributes:
        name: where the text comes from, for people.
        tree: the plain value.
        replaced: paths whose values do not come from the text; they have no line in it.
    """

    name: str
    tree: Any
    root: yaml.Node | None
    replaced: list[tuple[str, ...]] = field(default_factory=list)

    def where(self, path: Sequence[str | int]) -> str:
        """`` (line 3 of config.yaml)`` for the field at ``path``, or the section around it; empty without one."""
        mark = self._mark_of(path)
        return "" if mark is None else f" (line {mark.line + 1} of {mark.name})"

    def over(self, below: Document) -> Document:
        """This on top of another: mappings entry by entry, anything else in place of what is below."""
        return Document(self.name, _over(self.tree, below.tree), _nodes_over(self.root, below.root))

    def _mark_of(self, path: Sequence[str | int]) -> yaml.Mark | None:
        parts = tuple(str(part) for part in path)
        if any(parts[: len(ours)] == ours or ours[: len(parts)] == parts for ours in self.replaced):
            return None
        node, mark = self.root, None
        while parts and node is not None:
            node, found, taken = _step(node, parts)
            mark, parts = found or mark, parts[taken:]
        return mark


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        what: it is.
        command: that takes it.
        needs: keys that it has at least.
        own: keys that no other kind has.
        begin: how one comes by such a file.
    """

    what: str
    command: str
    needs: str
    own: frozenset[str]
    begin: str


RUN = Kind(
    "the file of a run", "tad run", "name, model, data and evaluate",
    frozenset({"extends", "model", "data", "evaluate", "rollout", "distill"}),
    "`tad init my-data` writes one to begin with",
)  # fmt: skip
STUDY = Kind(
    "the file of a study", "tad study", "name, config, states, variants and decoders",
    frozenset({"config", "states", "variants", "decoders"}),
    "`tad files FOLDER` writes out configs/study-tiny.yaml",
)  # fmt: skip
PRETRAINING = Kind(
    "the file of a pretraining", "tad pretrain", "out", frozenset({"out", "corpus", "steps", "d_model"}),
    "`tad files FOLDER` writes out configs/pretrain-tiny.yaml",
)  # fmt: skip


def read_document(path: str | Path, kind: Kind) -> Document:
    """Read a YAML file that holds a mapping with at least what the kind of file needs.

    Raises:
        ConfigError: it is not there, no UTF-8 text, no YAML, has a key twice in one mapping, holds no mapping, or is a
            file of another kind.
    """
    if Path(path).is_dir():
        inside = sorted(str(file) for file in Path(path).glob("*.yaml"))
        hint = f"give the file in it: {', '.join(inside[:3])}" if inside else "give a YAML file"
        raise ConfigError(f"config: {path} is a folder; {hint}")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"config: {path} does not exist; {_instead_of(Path(path), kind)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config: {path} cannot be read as UTF-8 text ({error}); save it as UTF-8, where you may read it"
        ) from None
    document = parse_document(text, str(path))
    if not isinstance(document.tree, dict):
        raise ConfigError(f"config: {path} holds no mapping; it needs at least {kind.needs}")
    _check_kind(path, document.tree.keys(), kind)
    return document


def _instead_of(missing: Path, kind: Kind) -> str:
    """What to give for a file that is not there: one of that kind with a like name, else those at hand."""
    folders = dict.fromkeys((missing.parent, Path("configs")))
    there = [file for folder in folders for file in sorted(folder.glob("*.yaml")) if _is_of(file, kind)]
    by_name = {
        file.name: file for file in reversed(there)
    }  # of two of one name the one beside what is missing
    if near := difflib.get_close_matches(missing.name, by_name, n=1, cutoff=0.8):
        return f"did you mean {by_name[near[0]]}?"
    return (
        f"give {kind.what}, e.g. {', '.join(map(str, there))}" if there else f"give {kind.what}; {kind.begin}"
    )


def _is_of(file: Path, kind: Kind) -> bool:
    try:
        tree = parse_document(file.read_text(encoding="utf-8-sig"), file.name).tree
    except (OSError, UnicodeDecodeError, ConfigError):
        return False
    return isinstance(tree, dict) and bool(kind.own & tree.keys())


def _check_kind(path: str | Path, keys: Collection[str], kind: Kind) -> None:
    if kind.own & set(keys):
        return
    for other in (RUN, STUDY, PRETRAINING):
        if len(other.own & set(keys)) > 1:
            raise ConfigError(
                f"config: {path} is {other.what}, which `{other.command}` takes; give {kind.what} here, "
                f"with {kind.needs}"
            )


def parse_document(text: str, name: str) -> Document:
    """Read a YAML text.

    Raises:
        ConfigError: it is no YAML, or a mapping in it has a key twice; with the line.
    """
    loader = None
    try:
        loader = _Loader(text)
        loader.name = name  # marks have it
        root = loader.get_single_node()
        if root is None:
            return Document(name, None, None)
        twice = [
            f"config: {path} is given twice, on line {first} and on line {second} of {name}; keep one of them"
            for path, first, second in _twice(loader, root)
        ]
        if twice:
            raise ConfigError("\n".join(twice))
        return Document(name, loader.construct_document(root), root)
    except yaml.reader.ReaderError as error:  # a file full of zeros, as a crash of a host may leave
        error.name = name
        raise ConfigError(f"config: {name} is not YAML: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"config: {name} is not YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"config: {name} is nested too deeply to be read; use fewer levels") from None
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """Reads plain values; one that looks like a date or a number and is none is an error with its line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            shown = f"{getattr(node, 'value', '')!r} cannot be read ({error}); quote it if it is a text"
            raise yaml.constructor.ConstructorError(None, None, shown, node.start_mark) from None
        return self._whole(value, node) if isinstance(value, str) else value

    def _whole(self, text: str, node: yaml.Node) -> str:
        """The text with both halves of a character joined, as JSON escapes them: YAML reads each as a sign."""
        try:
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            whole = "\0"
        if "\0" in whole:
            shown = (
                f"{text!r} has half a character or a NUL in it, which no text and no path has; take it out"
            )
            raise yaml.constructor.ConstructorError(None, None, shown, node.start_mark)
        return whole


def _twice(loader: _Loader, root: yaml.Node) -> Iterator[tuple[str, int, int]]:
    """Path and both lines of every key that a mapping has twice, in the order of the text."""
    waiting: list[tuple[yaml.Node, str]] = [(root, "")]
    seen = set()
    while waiting:
        node, path = waiting.pop()
        if id(node) in seen:  # an alias: looked at where its anchor stands
            continue
        seen.add(id(node))
        below: list[tuple[yaml.Node, str]] = []
        if isinstance(node, yaml.SequenceNode):
            below = [(value, f"{path}{number}.") for number, value in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            first: dict[Hashable, int] = {}
            for key, value in node.value:
                below.append((value, f"{path}{key.value}."))
                if not isinstance(key, yaml.ScalarNode):  # cannot be a key: constructing it says so
                    continue
                # Compared as they are read: 1 and 0x1 are one key. << and = have no value of their own.
                known = key.tag if key.tag in _SIGNS else loader.construct_object(key)
                line = key.start_mark.line + 1
                if known in first:
                    yield f"{path}{key.value}", first[known], line
                first.setdefault(known, line)
        waiting += reversed(below)


def _over(own: Any, below: Any) -> Any:
    if not (isinstance(own, dict) and isinstance(below, dict)):
        return own
    return below | {key: _over(value, below[key]) if key in below else value for key, value in own.items()}


def _nodes_over(own: yaml.Node | None, below: yaml.Node | None) -> yaml.Node | None:
    """The same of what the trees were read from; neither is changed."""
    if not (isinstance(own, yaml.MappingNode) and isinstance(below, yaml.MappingNode)):
        return own
    entries = []
    for key, value in own.value:
        there = _entry(below, key.value) if isinstance(key, yaml.ScalarNode) else None
        entries.append((key, _nodes_over(value, there[1]) if there else value))
    return yaml.MappingNode(own.tag, [*below.value, *entries], own.start_mark, own.end_mark)


def _step(node: yaml.Node, parts: tuple[str, ...]) -> tuple[yaml.Node | None, yaml.Mark | None, int]:
    """The node below, where it begins, and how many of ``parts`` lead there; no node if none does."""
    if isinstance(node, yaml.SequenceNode):
        if parts[0].isdigit() and int(parts[0]) < len(node.value):
            below = node.value[int(parts[0])]
            return below, below.start_mark, 1
    elif isinstance(node, yaml.MappingNode):
        # A key may have dots of its own, as the name of a source has: the longest that fits.
        for taken in range(len(parts), 0, -1):
            found = _entry(node, ".".join(parts[:taken]))
            if found is not None:
                return found[1], found[0].start_mark, taken
    return None, None, len(parts)


def _entry(node: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of a mapping. What is merged into it, or lies below, stands before its own, which count."""
    for key, value in reversed(node.value):
        if isinstance(key, yaml.ScalarNode) and key.value == name:
            return key, value
    return None

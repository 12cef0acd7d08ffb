"""YAML files as people write them: settings and languages. What a parser would pass over silently is said.

YAML lets the last of several equal keys win; here the first loss is an error that names the key and its lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from midb_ray.errors import UserError


class _TwiceError(Exception):
    """A mapping has the same key on two lines (counted from 1)."""

    def __init__(self, key: str, first: int, second: int) -> None:
        super().__init__(key)
        self.key, self.first, self.second = key, first, second


class _Loader(yaml.SafeLoader):
    """The safe loader; it looks at keys where they are read, before `<<` adds those of other mappings."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise _TwiceError(key.value, lines[name], line)
            lines[name] = line
        return node


def read(path: str, what: str) -> Any:
    """The content of a YAML file, None if it is empty; `what` is what the file holds, in one or two words.

    Raises `UserError` for a file that cannot be read, is no YAML, or has a key twice in one mapping.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"Cannot read the {what} {path}: {error.strerror}.") from None
    except _TwiceError as twice:
        where = (
            f"on lines {twice.first} and {twice.second}" if twice.first != twice.second else f"on line {twice.first}"
        )
        raise UserError(f"{path}: the key {twice.key!r} stands twice in one mapping, {where}; keep one.") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply to be read.") from None
    except (ValueError, yaml.YAMLError) as error:  # not UTF-8, no YAML, or something like the 45th of May
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None

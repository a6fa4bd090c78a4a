"""Read YAML of unknown origin within bounds: no aliases, limited nesting, and errors that name the line."""

from typing import Any

import yaml

MAX_DEPTH = 20  # of nested mappings and sequences


def parse(text: str) -> tuple[Any, yaml.Node | None]:
    """Parse one YAML document, without aliases, by which a short text may describe a huge or an endless value.

    Returns:
        Its value, and the node, which contains the lines.

    Raises:
        yaml.YAMLError: The text is not YAML, or is beyond the bounds.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"the alias *{event.anchor} is not supported: write the value out", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _error(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        return (None if node is None else yaml.SafeLoader("").construct_document(node)), node
    except yaml.YAMLError:
        raise
    except Exception as error:  # PyYAML passes on what int, float and datetime raise
        raise _impossible(node) from error


def _impossible(node: yaml.Node | None) -> yaml.YAMLError:
    """Return the error for the first scalar that its type does not have, such as month 13."""
    if isinstance(node, yaml.ScalarNode):
        try:
            yaml.SafeLoader("").construct_object(node)
        except Exception:
            kind = node.tag.rpartition(":")[2]
            return _error(f"{node.value[:40]!r} is not a valid {kind}: quote text", node.start_mark)
    children = node.value if isinstance(node, yaml.CollectionNode) else ()
    for child in children:
        for part in child if isinstance(child, tuple) else (child,):
            if getattr(error := _impossible(part), "problem_mark", None):
                return error
    return yaml.YAMLError("a value is not of its type")


def _error(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def describe(error: yaml.YAMLError) -> str:
    """The text of an error on one line, preceded by its line number if it has one."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None and error.problem:
        context = f"{error.context}, " if error.context else ""
        return f"line {error.problem_mark.line + 1}: {context}{error.problem}"
    return " ".join(str(error).split())

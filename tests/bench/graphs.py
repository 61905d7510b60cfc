"""The graphs that are worked off, as lines for `wg import` and as ninja's file."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

#: What each task waits for, by position.
Graph = Sequence[Sequence[int]]


def independent(count: int) -> Graph:
    """Tasks that wait for nothing."""
    return [[] for _ in range(count)]


def layered(layers: int, width: int, deps: int, *, dense_layer: bool = False) -> Graph:
    """Layers of tasks that each wait for some of the layer before; always the same.

    Args:
        dense_layer: The second layer has twice as many dependencies, so that there are
            `deps` for each task in all, the first layer counted.
    """
    choice = random.Random(1)
    graph: list[list[int]] = [[] for _ in range(width)]
    for layer in range(1, layers):
        before = range((layer - 1) * width, layer * width)
        some = deps * 2 if dense_layer and layer == 1 else deps
        graph.extend(sorted(choice.sample(before, some)) for _ in range(width))
    return graph


def large(count: int) -> Graph:
    """A hundred layers with twice as many edges as tasks."""
    return layered(100, count // 100, 2, dense_layer=True)


def write_jsonl(graph: Graph, file: Path, command: str = "true") -> Path:
    """Writes a graph of shell tasks for `wg import`."""
    with file.open("w", encoding="utf-8") as lines:
        for number, deps in enumerate(graph):
            task = {
                "kind": "task",
                "id": f"t{number}",
                "title": f"Task {number}",
                "exec": command,
                "after": [f"t{dep}" for dep in deps],
            }
            lines.write(json.dumps(task) + "\n")
    return file


def write_ninja(graph: Graph, file: Path) -> Path:
    """Writes the same graph for ninja. Nothing is made, so each run runs everything."""
    builds = (
        f"build t{number}: run {' '.join(f't{dep}' for dep in deps)}\n"
        for number, deps in enumerate(graph)
    )
    text = "rule run\n  command = true\n" + "".join(builds)
    file.write_text(text, encoding="utf-8")
    return file

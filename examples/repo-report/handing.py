"""How the tasks hand things on: artifacts of the graph, by `wg`.

A task's inputs are references such as `commits:data`. The graph knows which file that
is, and what its SHA-256 was when it was handed over.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any


def wg(*arguments: str) -> Any:  # noqa: ANN401 - it is whatever that command answers
    """Runs a `wg` command as the agent of this task, and gives its data."""
    command = ["wg", *arguments, "--json"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)["data"]


def inputs() -> dict[str, Path]:
    """The files that this task was promised, by reference, in order."""
    artifacts = {
        f"{task['id']}:{artifact['name']}": artifact
        for task in wg("list")
        for artifact in task["artifacts"]
    }
    files = {}
    for reference in wg("show", os.environ["WG_TASK_ID"])["inputs"]:
        artifact = artifacts[reference]
        files[reference] = Path(artifact["path"])
        found = hashlib.sha256(files[reference].read_bytes()).hexdigest()
        if found != artifact["sha256"]:
            raise SystemExit(f"{reference} is not what was handed over")
    return files


def load(reference: str) -> Any:  # noqa: ANN401 - it is whatever was saved
    """One input, decoded."""
    return json.loads(inputs()[reference].read_text("utf-8"))


def load_folders() -> list[dict[str, Any]]:
    """What the tasks of the fan-out found, one of each folder."""
    return [
        json.loads(file.read_text("utf-8"))
        for reference, file in inputs().items()
        if reference.startswith("folder-")
    ]


def save(name: str, data: object, note: str) -> None:
    """Hands data on."""
    save_text(name, f"out/{os.environ['WG_TASK_ID']}.json", json.dumps(data), note)


def save_text(name: str, file: str, content: str, note: str) -> None:
    """Writes a promised output, records it as an artifact, and says what it is."""
    Path(file).write_text(content, "utf-8")
    wg("artifact", file, "--name", name)
    wg("log", note)

"""Prints the graph of tasks for the repository `./repo`, for `wg import`.

commits, changes, files -> one for each folder -> totals, charts -> render -> check
"""

import json
import os
import sys
from typing import Any

from repository import group_files, read_files

#: How many folders are looked at one by one; with the other tasks that makes 31.
MOST_FOLDERS = 18


def a_task(name: str, title: str, output: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A shell task that promises a file; it waits for what its inputs are from."""
    task = {"kind": "task", "id": name, "title": title, "outputs": [output], **more}
    task["env"] = {"COMMIT": os.environ["COMMIT"]}
    return task | {"timeout_s": 300}


def read(name: str, title: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return a_task(
        name,
        title,
        f"out/{name}.json",
        exec=f"python3 tools/analyse.py {name}",
        tags=["read"],
        **more,
    )


def chart(name: str, title: str, inputs: list[str]) -> dict[str, Any]:
    return a_task(
        f"chart-{name}",
        f"Draw {title}",
        f"out/{name}.svg",
        exec=f"python3 tools/analyse.py chart {name}",
        inputs=inputs,
        verify=[f"grep -q '</svg>' out/{name}.svg"],
        tags=["chart"],
    )


def main() -> None:
    paths = [file["path"] for file in read_files(os.environ["COMMIT"])]
    groups = group_files(paths, MOST_FOLDERS)
    tasks = [
        read("commits", "Read who committed when"),
        read("changes", "Read how often each file was changed"),
        read("files", "List the files"),
    ]
    for number, (name, members) in enumerate(groups):
        task = f"folder-{number + 1:02}"
        tasks.append(
            a_task(
                task,
                f"Measure {name} ({len(members)} files)",
                f"out/{task}.json",
                exec=f"python3 tools/analyse.py folder {number}",
                inputs=["files:data", "changes:data"],
                tags=["folder"],
            )
        )
    folders = [f"{task['id']}:data" for task in tasks if "folder" in task["tags"]]
    tasks += [
        a_task(
            "totals",
            "Add it all up",
            "out/totals.json",
            exec="python3 tools/analyse.py totals",
            inputs=["commits:data", *folders],
            retry_on="failure",
            max_attempts=3,
            verify=["python3 -m json.tool out/totals.json >out/totals.checked"],
            tags=["chart"],
        ),
        chart("months", "commits over time", ["commits:data"]),
        chart("authors", "the authors' shares", ["commits:data"]),
        chart("rhythm", "the hours of the week", ["commits:data"]),
        chart("languages", "lines by language", folders),
        chart("folders", "lines by folder", folders),
        chart("complexity", "branches by folder", folders),
        chart(
            "hot-spots", "the files that change most", ["changes:data", "files:data"]
        ),
    ]
    charts = [f"{task['id']}:svg" for task in tasks if task["id"].startswith("chart-")]
    tasks += [
        a_task(
            "render",
            "Write the report",
            "out/report.html",
            exec="python3 tools/analyse.py render",
            inputs=["totals:data", *charts, *folders],
            env={},
            tags=["report"],
        ),
        a_task(
            "check",
            "Check the report",
            "out/check.json",
            exec="python3 tools/analyse.py check",
            inputs=["render:html", "totals:data"],
            tags=["report"],
        ),
    ]
    for task in tasks:
        json.dump(task, sys.stdout)
        print()


if __name__ == "__main__":
    main()

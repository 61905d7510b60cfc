"""The page: put together from what the tasks handed over, and checked."""

import json
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from charts import clean, spans
from handing import inputs, load, load_folders, save, save_text, wg

#: Id, heading, and the chart that it shows.
SECTIONS = (
    ("months", "Commits over time", "chart-months"),
    ("rhythm", "When work is done", "chart-rhythm"),
    ("authors", "Who wrote it", "chart-authors"),
    ("languages", "Languages", "chart-languages"),
    ("sizes", "Where the lines are", "chart-folders"),
    ("complexity", "Where it branches", "chart-complexity"),
    ("hot-spots", "What changes most", "chart-hot-spots"),
)
NOTES = {
    "rhythm": "By the authors' clocks.",
    "complexity": "Branches (if, for, case, && …) in 100 lines of code: a guess at"
    " how hard a folder is to follow.",
    "hot-spots": "Of the files that are still there, in the newest 2,000 commits.",
}
STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --quiet: #65717f; --page: #f5f6f8;
  --card: #fff; --line: #dfe3e8; --bar: #3b6fd4; --bad: #d4513b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --quiet: #97a3b1;
  --page: #14181d; --card: #1d232a; --line: #343c46; --bar: #6f9bf0; --bad: #f0826f; } }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 60rem; color: var(--ink);
  background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; overflow-wrap: anywhere; }
h2 { margin: 0 0 .75rem; font-size: 1.15rem; }
p, .quiet { color: var(--quiet); fill: var(--quiet); }
section { margin-top: 1rem; padding: 1.25rem; border-radius: .5rem;
  background: var(--card); border: 1px solid var(--line); overflow-x: auto; }
dl { display: grid; gap: 1rem; margin: 0;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
dt { color: var(--quiet); font-size: .85rem; }
dd { margin: 0; font-size: 1.5rem; font-weight: 600; }
svg { display: block; width: 100%; min-width: 34rem; }
.bar { fill: var(--bar); } .bad { fill: var(--bad); }
.line { stroke: var(--line); fill: none; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .5rem; text-align: right; border-top: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 500; border: 0; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: a report</title>
<style>{style}</style>
</head>
<body>
<h1>{name}</h1>
<p>commit {commit}, {first} to {last}</p>
{sections}
</body>
</html>
"""
VOID = {"meta"}


def render() -> None:
    given = inputs()
    totals = json.loads(given["totals:data"].read_text("utf-8"))
    subject = json.loads(Path("subject.json").read_text("utf-8"))
    parts = [section("totals", "In numbers", tiles(totals))]
    for name, heading, task in SECTIONS:
        drawn = given[f"{task}:svg"].read_text("utf-8")
        note = f"<p>{clean(NOTES[name])}</p>\n" if name in NOTES else ""
        parts.append(section(name, heading, note + drawn))
    parts.append(section("folders", "Folder by folder", table(load_folders())))
    parts.append(section("making", "How this page was made", making()))
    page = PAGE.format(
        name=clean(subject["name"]),
        commit=clean(subject["commit"][:12]),
        style=STYLE,
        first=totals["first"],
        last=totals["last"],
        sections="\n".join(parts),
    )
    save_text("html", "out/report.html", page, f"{len(parts)} sections")


def section(name: str, heading: str, body: str) -> str:
    return f'<section id="{name}">\n<h2>{clean(heading)}</h2>\n{body}</section>'


def tiles(totals: dict[str, Any]) -> str:
    shown = (
        ("commits", "commits"),
        ("authors", "authors"),
        ("days", "days with commits"),
        ("files", "files"),
        ("binary", "of them binary"),
        ("bytes", "bytes"),
        ("lines", "lines"),
        ("languages", "languages"),
        ("marks", "TODO and the like"),
    )
    cells = (
        f'<div><dt>{label}</dt><dd data-total="{key}">{totals[key]:,}</dd></div>'
        for key, label in shown
    )
    return f"<dl>{''.join(cells)}</dl>\n"


def table(folders: list[dict[str, Any]]) -> str:
    heads = ("folder", "files", "lines", "main language", "lines changed", "authors")
    rows = ["".join(f"<th>{head}</th>" for head in (*heads, "TODO in 1,000"))]
    for one in folders:
        density = f"{1000 * one['marks'] / one['lines']:.1f}" if one["lines"] else "-"
        cells = (
            one["name"],
            f"{one['files']:,}",
            f"{one['lines']:,}",
            next(iter(one["languages"]), "-"),
            f"{one['churn']:,}",
            f"{len(one['authors']):,}",
            density,
        )
        rows.append("".join(f"<td>{clean(cell)}</td>" for cell in cells))
    return "<table>\n" + "\n".join(f"<tr>{row}</tr>" for row in rows) + "\n</table>\n"


def making() -> str:
    """What ran when, by the graph's own account of its agents."""
    ended = [agent for agent in wg("agents") if agent["ended_at"]]
    starts = [seconds(agent["started_at"]) for agent in ended]
    rows = [
        (
            agent["task"]
            + (f" (try {agent['attempt']})" if agent["attempt"] > 1 else ""),
            start - starts[0],
            seconds(agent["ended_at"]) - starts[0],
            agent["outcome"] == "done",
        )
        for agent, start in zip(ended, starts, strict=True)
    ]
    failed = sum(not good for *_, good in rows)
    note = (
        "<p>Every bar is a process that wg started as soon as its inputs were there;"
        " the two that wrote and checked this page are missing."
        f" Red ({failed}): it failed, and was tried again.</p>\n"
    )
    return note + spans("What ran when", rows)


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


class Reader(HTMLParser):
    """Notes sections, totals, links to elsewhere, and tags that don't match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str | None] = []
        self.totals: dict[str, str] = {}
        self.faults: list[str] = []
        self._total: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "section":
            self.sections.append(given.get("id"))
        self._total = given.get("data-total")
        self.faults += [f"<{tag} {key}>" for key in given if key in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag, attrs

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._total:
            self.totals[self._total] = data
            self._total = None


def check() -> None:
    page = inputs()["render:html"].read_text("utf-8")
    reader = Reader()
    reader.feed(page)
    reader.close()
    faults = reader.faults + [f"<{tag}> is left open" for tag in reader.open]
    wanted = ["totals", *(name for name, *_ in SECTIONS), "folders", "making"]
    faults += [f"no section {name}" for name in wanted if name not in reader.sections]
    totals = load("totals:data")
    faults += [
        f"{key} is {shown}, not {totals[key]:,}"
        for key, shown in reader.totals.items()
        if shown != f"{totals[key]:,}"
    ]
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for drawing in drawings:
        ET.fromstring(drawing)
    if len(drawings) != len(SECTIONS) + 1:
        faults.append(f"{len(drawings)} charts")
    if faults:
        raise SystemExit("the report is not right: " + "; ".join(faults))
    save(
        "data", reader.totals, f"{len(wanted)} sections, {len(drawings)} charts: right"
    )

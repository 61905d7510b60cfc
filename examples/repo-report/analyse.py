"""The work of one task: `analyse.py STEP [WHAT]`, run by wg in the project."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import charts
import report
import repository
from handing import load, load_folders, save, save_text, wg
from make_graph import MOST_FOLDERS

#: As many columns as can be told apart; more months than that become years.
MOST_COLUMNS = 60


def read_commits() -> None:
    commits = repository.read_commits(os.environ["COMMIT"])
    save("data", commits, f"{len(commits):,} commits")


def read_changes() -> None:
    changes = repository.read_changes(os.environ["COMMIT"])
    save("data", changes, f"{len(changes):,} files were changed, some of them are gone")


def read_files() -> None:
    files = repository.read_files(os.environ["COMMIT"])
    save("data", files, f"{len(files):,} files")


def measure_folder(number: str) -> None:
    """One of the fan-out; the commit is the graph's, so the split is, too."""
    files, changes = load("files:data"), load("changes:data")
    groups = repository.group_files([file["path"] for file in files], MOST_FOLDERS)
    name, members = groups[int(number)]
    own = [files[member] for member in members]
    facts = repository.measure(own)
    known = [changes[file["path"]] for file in own if file["path"] in changes]
    facts |= {
        "name": name,
        "churn": sum(change["lines"] for change in known),
        "authors": sorted({author for change in known for author in change["authors"]}),
    }
    note = f"{facts['lines']:,} lines in {facts['files']:,} files"
    save("data", facts, f"{note}, {facts['churn']:,} lines of change")


def add_up() -> None:
    lock = Path("out/totals.lock")
    if lock.exists():
        lock.unlink()
        reason = f"{lock} was held by a process that is gone; it is removed, try again"
        wg("fail", "--reason", reason)
        raise SystemExit(reason)
    commits, folders = load("commits:data"), load_folders()
    keys = ("files", "binary", "bytes", "lines", "code", "branches", "marks", "churn")
    totals: dict[str, Any] = {
        key: sum(folder[key] for folder in folders) for key in keys
    }
    days = sorted(commit["day"] for commit in commits)
    totals |= {
        "commits": len(commits),
        "authors": len({commit["author"] for commit in commits}),
        "days": len(set(days)),
        "first": days[0] if days else "-",
        "last": days[-1] if days else "-",
        "languages": len(add_languages(folders)),
    }
    save("data", totals, ", ".join(f"{value} {key}" for key, value in totals.items()))


def add_languages(folders: list[dict[str, Any]]) -> Counter[str]:
    return sum((Counter(folder["languages"]) for folder in folders), Counter())


def draw_months() -> str:
    months = Counter(commit["day"][:7] for commit in load("commits:data"))
    title = "Commits by month"
    spread = list(every_month(min(months), max(months))) if months else []
    if len(spread) <= MOST_COLUMNS:
        return charts.columns(title, [(month, months[month]) for month in spread])
    years: Counter[str] = Counter()
    for month, count in months.items():
        years[month[:4]] += count
    span = range(int(min(years)), int(max(years)) + 1)
    values = [(str(year), years[str(year)]) for year in span]
    return charts.columns("Commits by year", values)


def every_month(first: str, last: str) -> Iterator[str]:
    (year, month), end = map(int, first.split("-")), last
    while (here := f"{year:04}-{month:02}") <= end:
        yield here
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def draw_authors() -> str:
    authors = Counter(commit["author"] for commit in load("commits:data"))
    whole = authors.total() or 1
    rows = [
        (name, count, f"{count:,} ({count / whole:.0%})")
        for name, count in authors.most_common(10)
    ]
    if (rest := whole - sum(int(count) for _, count, _ in rows)) and rows:
        others = f"{len(authors) - len(rows):,} others"
        rows.append((others, rest, f"{rest:,} ({rest / whole:.0%})"))
    return charts.bars("Commits by author", rows)


def draw_rhythm() -> str:
    commits = load("commits:data")
    counts = Counter((commit["weekday"], commit["hour"]) for commit in commits)
    return charts.week("Commits by day and hour", counts)


def draw_languages() -> str:
    languages = add_languages(load_folders())
    whole = languages.total() or 1
    rows = [
        (name, lines, f"{lines:,} ({lines / whole:.0%})")
        for name, lines in languages.most_common(14)
        if lines
    ]
    return charts.bars("Lines by language", rows)


def draw_folders() -> str:
    folders = sorted(load_folders(), key=lambda folder: -folder["lines"])
    rows = [(one["name"], one["lines"], f"{one['lines']:,}") for one in folders]
    return charts.bars("Lines by folder", rows)


def draw_complexity() -> str:
    rows = [
        (one["name"], rate, f"{rate:.1f}")
        for one in load_folders()
        if one["code"]
        for rate in [100 * one["branches"] / one["code"]]
    ]
    rows.sort(key=lambda row: -row[1])
    return charts.bars("Branches in 100 lines of code", rows)


def draw_hot_spots() -> str:
    present = {file["path"] for file in load("files:data")}
    spots = sorted(
        (-change["changes"], -change["lines"], path)
        for path, change in load("changes:data").items()
        if path in present
    )
    rows = [
        (path, -changes, f"{-changes:,} times, {-lines:,} lines")
        for changes, lines, path in spots[:14]
    ]
    return charts.bars("Files by number of changes", rows)


CHARTS: dict[str, Callable[[], str]] = {
    "months": draw_months,
    "authors": draw_authors,
    "rhythm": draw_rhythm,
    "languages": draw_languages,
    "folders": draw_folders,
    "complexity": draw_complexity,
    "hot-spots": draw_hot_spots,
}


def draw(name: str) -> None:
    drawn = CHARTS[name]()
    save_text("svg", f"out/{name}.svg", drawn, f"{len(drawn):,} characters of SVG")


STEPS: dict[str, Callable[..., None]] = {
    "commits": read_commits,
    "changes": read_changes,
    "files": read_files,
    "folder": measure_folder,
    "totals": add_up,
    "chart": draw,
    "render": report.render,
    "check": report.check,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*sys.argv[2:])

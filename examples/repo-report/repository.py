"""Facts about the git repository `./repo`, read with git and nothing else.

File names need not be UTF-8: what is not shows as `\\xff`, and contents are read by the
ids of their blobs, never by name.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

#: The history of changes is costly to read, so only this much of it is.
MOST_CHANGES = 2000
#: Larger files are data, whatever their names say.
MOST_BYTES = 1_000_000

LANGUAGES = {
    "Assembly": "asm s",
    "C": "c h",
    "C#": "cs",
    "C++": "cc cpp cxx hh hpp hxx",
    "CSS": "css less sass scss",
    "Dart": "dart",
    "Elixir": "ex exs",
    "Erlang": "erl hrl",
    "Go": "go",
    "HTML": "htm html",
    "Haskell": "hs",
    "JSON": "json jsonl",
    "Java": "java",
    "JavaScript": "cjs js jsx mjs",
    "Kotlin": "kt kts",
    "Lua": "lua",
    "Markdown": "md",
    "OCaml": "ml mli",
    "PHP": "php",
    "Perl": "pl pm",
    "Python": "py pyi",
    "R": "r",
    "Ruby": "rb",
    "Rust": "rs",
    "SQL": "sql",
    "Scala": "scala",
    "Shell": "bash sh zsh",
    "Swift": "swift",
    "TOML": "toml",
    "TypeScript": "ts tsx",
    "XML": "svg xml",
    "YAML": "yaml yml",
    "Zig": "zig",
    "reStructuredText": "rst",
}
BY_SUFFIX = {
    f".{suffix}": language
    for language, suffixes in LANGUAGES.items()
    for suffix in suffixes.split()
}
BY_NAME = {"Makefile": "Make", "Dockerfile": "Docker", "CMakeLists.txt": "CMake"}
NOT_CODE = {"Data", "JSON", "Markdown", "Text", "XML", "YAML", "reStructuredText"}

#: One more way through the code for each; a guess that needs no parser.
BRANCH = re.compile(
    rb"\b(?:if|elif|for|while|case|catch|except|match|when)\b|&&|\|\||\?\?"
)
MARK = re.compile(rb"\b(?:TODO|FIXME|XXX|HACK)\b")


def git(*arguments: str) -> bytes:
    """What git prints; its settings must not change how."""
    command = ["git", "-C", "repo", "-c", "log.showRoot=true", *arguments]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if run.returncode:
        raise SystemExit(f"git {arguments[0]} failed with {run.returncode}")
    return run.stdout


def log(*arguments: str) -> list[str]:
    plain = ("--no-color", "--no-show-signature", "--encoding=UTF-8", "-z")
    return [text(part) for part in git("log", *plain, *arguments).split(b"\0")]


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def read_commits(commit: str) -> list[dict[str, Any]]:
    """Author and time, as the author's clock showed it, of every commit."""
    form = ("--format=%aN%x01%ad", "--date=format:%Y-%m-%d %u %H")
    commits = []
    for line in log(*form, commit, "--"):
        author, _, moment = line.partition("\1")
        if moment.count(" ") == 2:
            day, weekday, hour = moment.split(" ")
            commits.append(
                {
                    "author": author or "nobody",
                    "day": day,
                    "weekday": int(weekday) - 1,
                    "hour": int(hour),
                }
            )
    return commits


def read_changes(commit: str) -> dict[str, dict[str, Any]]:
    """How often and by whom each file was changed, in the newest commits."""
    how = ("--numstat", "--no-renames", "--no-merges", "--no-ext-diff")
    files: dict[str, dict[str, Any]] = {}
    author = ""
    for part in log(*how, "--format=%x01%aN", f"-n{MOST_CHANGES}", commit, "--"):
        if part.startswith("\1"):
            author = part[1:]
        elif part.count("\t") >= 2:
            added, deleted, path = part.lstrip("\n").split("\t", 2)
            lines = sum(int(n) for n in (added, deleted) if n != "-")
            one = files.setdefault(path, {"changes": 0, "lines": 0, "authors": {}})
            one["changes"] += 1
            one["lines"] += lines
            one["authors"][author] = one["authors"].get(author, 0) + 1
    return files


def read_files(commit: str) -> list[dict[str, Any]]:
    """Every file of a commit; links and submodules are none."""
    files = []
    for line in git("ls-tree", "-r", "-l", "-z", "--full-tree", commit).split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if facts.startswith(b"100"):
            blob, size = text(facts).split()[2:]
            files.append({"path": text(path), "blob": blob, "bytes": int(size)})
    return files


def read_blobs(blobs: Iterable[str]) -> Iterator[bytes]:
    command = ["git", "-C", "repo", "cat-file", "--batch"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdin
        assert process.stdout
        for blob in blobs:
            process.stdin.write(f"{blob}\n".encode())
            process.stdin.flush()
            header = process.stdout.readline().split()
            if len(header) != 3:
                raise SystemExit(f"git has no {blob}")
            yield process.stdout.read(int(header[2]) + 1)[:-1]
        process.stdin.close()


def group_files(paths: list[str], most: int) -> list[tuple[str, list[int]]]:
    """Folders with the numbers of their files: the largest are split while room is.

    `a/` is a folder with all below it, `a/*` its own files, `a/...` its small folders.
    """
    groups = {"/": list(range(len(paths)))}
    whole: set[str] = set()
    while rest := [name for name in groups if name not in whole]:
        name = max(rest, key=lambda name: len(groups[name]))
        room = most - len(groups) + 1
        parts = split_folder(name, groups[name], paths)
        if room < 2 or all(part.endswith("*") for part in parts):
            whole.add(name)
        else:
            del groups[name]
            groups |= join_smallest(parts, room, f"{name}...")
            whole |= {part for part in groups if part[-1] in "*."}
    return sorted((name[1:] or "/", members) for name, members in groups.items())


def split_folder(
    name: str, numbers: list[int], paths: list[str]
) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    for number in numbers:
        first, slash, _ = paths[number][len(name) - 1 :].partition("/")
        parts.setdefault(f"{name}{first}/" if slash else f"{name}*", []).append(number)
    return parts


def join_smallest(
    parts: dict[str, list[int]], most: int, joined: str
) -> dict[str, list[int]]:
    if len(parts) <= most:
        return parts
    names = sorted(parts, key=lambda name: (-len(parts[name]), name))
    rest = [number for name in names[most - 1 :] for number in parts[name]]
    return {name: parts[name] for name in names[: most - 1]} | {joined: rest}


def language_of(path: str) -> str:
    name = PurePosixPath(path)
    return BY_NAME.get(name.name) or BY_SUFFIX.get(name.suffix.lower(), "Text")


def measure(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Lines by language, complexity and marks of some files."""
    lines: Counter[str] = Counter()
    code = branches = marks = binary = 0
    longest = {"path": "", "lines": 0}
    small = [file for file in files if file["bytes"] <= MOST_BYTES]
    contents = read_blobs(file["blob"] for file in small)
    for file, content in zip(small, contents, strict=True):
        if b"\0" in content[:8000]:
            binary += 1
            continue
        language = language_of(file["path"])
        count = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
        lines[language] += count
        marks += len(MARK.findall(content))
        if language not in NOT_CODE:
            code += count
            branches += len(BRANCH.findall(content))
        if count > longest["lines"]:
            longest = {"path": file["path"], "lines": count}
    return {
        "files": len(files),
        "binary": binary + len(files) - len(small),
        "bytes": sum(file["bytes"] for file in files),
        "lines": sum(lines.values()),
        "languages": dict(lines.most_common()),
        "code": code,
        "branches": branches,
        "marks": marks,
        "longest": longest,
    }

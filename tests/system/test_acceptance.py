"""What the main job promises, with real processes: claims, kills, plans, exports."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.system.project import (
    BIN,
    TRY_LATER,
    Project,
    a_project,
    wait_for,
    whole_lines,
)

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(400)]

RACERS = 24


def race(project: Project, task: str) -> list[int]:
    """The exit statuses of 24 processes that claim one task at once."""
    ends: list[int] = []
    late = list(range(RACERS))
    while late:
        racers = [
            subprocess.Popen(
                [str(BIN / "wg"), "claim", task, "--actor", f"racer-{n}"],
                cwd=project.folder,
                env=project.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for n in late
        ]
        ended = [racer.wait(300) for racer in racers]
        ends += [end for end in ended if end != TRY_LATER]
        # without a daemon the others may keep the lock for all the time of one of them
        late = [n for n, end in zip(late, ended, strict=True) if end == TRY_LATER]
    return sorted(ends)


def test_exactly_one_of_24_claims_wins_with_a_daemon(tmp_path: Path) -> None:
    """One exits 0 and all others 4, in each round (rule 94)."""
    with a_project(tmp_path / "p") as project:
        project.start_daemon("--max-agents", "0")
        for n in range(5):
            task = project.wg("add", f"round {n}").strip()

            assert race(project, task) == [0] + [4] * (RACERS - 1)


def test_exactly_one_of_24_claims_wins_without_a_daemon(tmp_path: Path) -> None:
    """The same where each takes the lock itself."""
    with a_project(tmp_path / "p") as project:
        task = project.wg("add", "contested").strip()

        assert race(project, task) == [0] + [4] * (RACERS - 1)


def test_twelve_kills_lose_nothing_and_run_nothing_twice(tmp_path: Path) -> None:
    """240 tasks in 12 layers, kill -9 of wgd twelve times: each ran exactly once."""
    layers, width, kills = 12, 20, 12
    with a_project(tmp_path / "p") as project:
        evidence = project.folder / "evidence"
        lines = []
        for layer in range(layers):
            for n in range(width):
                after = [f"t{layer - 1}-{(n + k) % width}" for k in range(3)]
                task = {
                    "kind": "task",
                    "id": f"t{layer}-{n}",
                    "title": f"task {n} of layer {layer}",
                    "exec": f'echo "$WG_TASK_ID $WG_ATTEMPT" >> {evidence}; sleep 0.02',
                    "after": after if layer else [],
                }
                lines.append(json.dumps(task))
        project.wg("import", "-", stdin="\n".join(lines))

        def seen() -> int:
            return len(whole_lines(evidence))

        for kill in range(kills):
            daemon = project.start_daemon("--max-agents", "8")
            goal = (kill + 1) * layers * width // (kills + 2)
            wait_for(lambda goal=goal: seen() >= goal, f"{goal} tasks to run")  # type: ignore[misc]
            project.kill_daemon(daemon)
        project.start_daemon("--max-agents", "8")
        project.wg("run", "--until-idle")

        tasks = project.json("list")
        assert {task["status"] for task in tasks} == {"done"}
        ran = sorted(line.split()[0] for line in evidence.read_text().splitlines())
        assert ran == sorted(task["id"] for task in tasks)


def test_the_plan_and_the_process_agree_on_claude(tmp_path: Path) -> None:
    """Model opus on the task, endpoint and executor set globally, executor locally."""
    with a_project(tmp_path / "p") as project:
        user = Path(project.env["HOME"]) / ".config" / "workgraph"
        user.mkdir(parents=True)
        (user / "config.toml").write_text(
            '[dispatcher]\nexecutor = "native"\n\n[[endpoints]]\nname = "openrouter"\n'
            'url = "https://openrouter.example/v1"\ndefault = true\n'
        )
        stand_in = tmp_path / "bin" / "claude"
        stand_in.parent.mkdir()
        stand_in.write_text(
            "#!/bin/sh\ncat > /dev/null\n"
            'printf "%s\\n" "$@" > argv.txt\nenv > env.txt\n'
        )
        stand_in.chmod(0o755)
        project.env["PATH"] = f"{stand_in.parent}:{project.env['PATH']}"
        project.env["ANTHROPIC_API_KEY"] = "canary-of-a-key"
        project.wg("config", "set", "dispatcher.executor", "claude")
        task = project.wg("add", "think", "--model", "opus").strip()

        plan = project.json("plan", task)
        assert plan["executor"] == {
            "value": "claude",
            "source": "local [dispatcher].executor",
        }
        assert plan["model"] == {"value": "opus", "source": "task.model"}
        assert plan["endpoint"] == {"value": None, "source": "none (executor=claude)"}

        project.start_daemon()
        project.wg("run", "--until-idle")
        argv = (project.folder / "argv.txt").read_text().splitlines()
        assert argv[argv.index("--model") + 1] == "opus"
        agent = project.json("agents")[0]
        known = {"<session>": agent["session"]}
        assert argv == [known.get(one, one) for one in plan["argv"]["value"][1:]]
        assert (agent["executor"], agent["endpoint"]) == ("claude", None)
        lines = [
            json.loads(line)
            for line in whole_lines(project.folder / ".wg/log/wgd.jsonl")
        ]
        told = [entry["line"] for entry in lines if entry["event"] == "agent_started"]
        line = "agent-1 executor=claude (local [dispatcher].executor)"
        line += " model=opus (task.model) endpoint=none (executor=claude)"
        assert told == [line]
        for file in (project.folder / ".wg").rglob("*"):
            if file.is_file():
                assert b"canary-of-a-key" not in file.read_bytes(), file


HOSTILE = [
    "quotes ' \" and `backquotes`",
    "two\nlines\r\nand\ttabs",
    "$(touch /tmp/pwned) ${HOME} %s {model} {{ jinja }} <%= erb %>",
    "escapes \x1b[31mred\x07 \u0000".replace("\u0000", ""),
    "unicode: \u202eright to left\u202c \U0001f600 \ufeff \u00e9 e\u0301",
    "\\n is not a newline; \\u0041",
]


def test_export_import_export_is_the_same_to_the_byte(tmp_path: Path) -> None:
    """Whatever titles hold, and with history."""
    with a_project(tmp_path / "a") as one, a_project(tmp_path / "b") as other:
        previous = None
        for title in HOSTILE:
            options = ["--exec", "true", "--tag", "x", "--env", "A=b c"]
            if previous:
                options += ["--after", previous]
            previous = one.wg("add", title, *options).strip()
        one.wg("run", "--until-idle")
        one.wg("add", "open", "--after", previous or "", "--input", "./data.json")

        one.wg("export", "first.jsonl")
        other.wg("import", str(one.folder / "first.jsonl"))
        other.wg("export", "second.jsonl")

        first = (one.folder / "first.jsonl").read_bytes()
        assert (other.folder / "second.jsonl").read_bytes() == first
        titles = [task["title"] for task in other.json("list")]
        assert titles == [*HOSTILE, "open"]

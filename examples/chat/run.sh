#!/bin/sh
# A conversation that shapes the graph, by a scripted handler. README.md says more.
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v wg >/dev/null || {
    echo "run.sh: wg is not in PATH; after make install: PATH=\"\$PWD/.venv/bin:\$PATH\" $0" >&2
    exit 2
}
unset WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_TOKEN
say() { printf '\n== %s\n' "$1"; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/chat.XXXXXX")
clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    [ ! -d "$scratch/.wg" ] || wg --dir "$scratch" service stop >/dev/null 2>&1 || status=1
    rm -rf -- "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
cd -- "$scratch"
cp -- "$tools/answering.py" .

say 'A project with a task of ours, and a chat'
wg init
wg add 'Ship it' --paused --exec true
wg config set dispatcher.max_agents 0 # a chat's handler takes no place; the tasks can wait
wg service start
wg chat new release --exec 'python3 answering.py'
wg chat list

say 'It answers, and adds tasks by its own token'
wg chat send release 'add Write the notes' --wait 2m
wg chat send release 'tasks' --wait 2m
wg show write-the-notes

say 'What is not its own it may not touch'
wg chat send release 'drop ship-it' --wait 2m

say 'Put away and taken up again: the next handler is told what was said'
wg chat archive release
wg chat restore .chat-1
wg chat send release 'told Write the notes' --wait 2m

say 'What was said (wg chat history release, and .wg/chat/1)'
wg chat history release
wg service stop >/dev/null # a line is written behind its commit: now they are all there
wc -l .wg/chat/1/*.jsonl

#!/bin/sh
# Builds an HTML report about a git repository by a graph of some 30 tasks. ../README.md says more.
set -eu

usage='usage: demo.sh [--out FILE] [--keep FOLDER] [REPOSITORY]'
refuse() {
    printf 'demo.sh: %s\n' "$@" >&2
    exit 2
}
say() { printf '\n== %s\n' "$1"; }

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
given=$tools
out='repo-report.html'
keep=
while [ $# -gt 0 ]; do
    case $1 in
        --out | --keep)
            [ -n "${2-}" ] || refuse "$1 wants a value" "$usage"
            if [ "$1" = --out ]; then out=$2; else keep=$2; fi
            shift 2
            ;;
        --help)
            echo "$usage"
            exit
            ;;
        -?*) refuse "there is no option $1" "$usage" ;;
        *)
            [ $# -eq 1 ] || refuse "one repository, please" "$usage"
            given=$1
            shift
            ;;
    esac
done
case $out in /*) ;; *) out=$PWD/$out ;; esac

# What a surrounding git or wg has set would speak of another repository, another graph.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX GIT_OBJECT_DIRECTORY GIT_COMMON_DIR
unset WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_TOKEN

for program in git python3 wg; do
    command -v "$program" >/dev/null || refuse "$program is not in PATH (make demo puts wg there)"
done
[ -d "$given" ] || refuse "there is no folder $given"
repo=$(CDPATH='' cd -- "$given" && pwd)
top=$(git -C "$repo" rev-parse --show-toplevel 2>/dev/null) ||
    top=$(git -C "$repo" rev-parse --absolute-git-dir 2>/dev/null) ||
    refuse "$given is not a git repository (or git refuses it: git -C '$repo' status)"
COMMIT=$(git -C "$top" rev-parse --verify --quiet 'HEAD^{commit}') ||
    refuse "$given has no commits yet"
export COMMIT
if [ -d "$out" ] || [ ! -w "$(dirname -- "$out")" ]; then refuse "$out can't be written"; fi

if [ -n "$keep" ]; then
    mkdir -p -- "$keep"
    scratch=$(CDPATH='' cd -- "$keep" && pwd)
    [ -z "$(ls -A -- "$scratch")" ] || refuse "$keep is not empty"
else
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/repo-report.XXXXXX")
fi
clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    [ ! -d "$scratch/.wg" ] || wg --dir "$scratch" service stop --kill-agents >/dev/null || status=1
    [ -n "$keep" ] || rm -rf -- "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

cd -- "$scratch"
mkdir out tools
ln -s -- "$top" repo
# Copied, so that Python keeps what it compiles here and not beside the sources.
cp -- "$tools"/*.py tools
python3 -c 'import json, os, sys
name = os.path.basename(sys.argv[1]).encode(errors="surrogateescape").decode(errors="replace")
json.dump({"name": name, "commit": sys.argv[2]}, sys.stdout)' "$top" "$COMMIT" >subject.json
# On purpose: the task `totals` will stumble over it, fail, and be tried again.
: >out/totals.lock

say "A graph of tasks for $given"
wg init
wg config set retry.backoff 500ms
python3 tools/make_graph.py >graph.jsonl
wg import graph.jsonl

say 'The daemon works it off, four tasks at a time'
started=$(date +%s)
wg service start --max-agents 4
if ! wg run --until-idle; then
    say 'Not everything could be done'
    wg list --status failed
    for task in $(wg list --status failed --json |
        python3 -c 'import json, sys; print(*(t["id"] for t in json.load(sys.stdin)["data"]))'); do
        wg show "$task"
        wg log "$task" --list
    done
    exit 1
fi
took=$(($(date +%s) - started))
cp out/report.html "$out"

say 'What became of the tasks (wg list)'
wg list
say 'One was tried twice: demo.sh had left a stale lock in its way (wg show totals)'
wg show totals
say 'What became of it, step by step (wg log totals --list)'
wg log totals --list
say 'The end'
wg service stop
count=$(wc -l <graph.jsonl)
echo "$((count)) tasks were done in about $took s, each as soon as its inputs were there;"
echo "one failed at first and was tried again. No process is left."
echo "The report: $out"
[ -z "$keep" ] || echo "The graph:  cd '$scratch' && wg list"

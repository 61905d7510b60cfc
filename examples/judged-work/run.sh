#!/bin/sh
# Pages that are written, judged by somebody else, and written again. README.md says more.
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v wg >/dev/null || {
    echo "run.sh: wg is not in PATH; after make install: PATH=\"\$PWD/.venv/bin:\$PATH\" $0" >&2
    exit 2
}
unset WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_TOKEN
say() { printf '\n== %s\n' "$1"; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/judged-work.XXXXXX")
clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    if [ -d "$scratch/.wg" ]; then
        wg --dir "$scratch" service stop --kill-agents >/dev/null 2>&1 || true
        wg --dir "$scratch" kill --all >/dev/null 2>&1 || status=1
    fi
    rm -rf -- "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
cd -- "$scratch"

say 'Who does the work: two who write, one who does not, one who judges'
wg init
cp -- "$tools/config.toml" .wg/config.toml
cp -- "$tools/writer.py" "$tools/evaluator.py" .
wg service start
wg service pause
wg role add author -d 'Writes pages that people read' --skill writing
wg role add judge -d 'Judges work by the evidence' --skill evaluation
wg tradeoff add careful -d 'A right page is worth the time' \
    --accept 'taking longer' --reject 'saying that something works which was not tried'
wg actor add ada --role author --tradeoff careful --trust verified
wg actor add bob --skill python --skill writing
wg actor add eva --role judge --executor judge
wg actor add cyd --skill python
wg actor list

say 'Seven pages; who could write one, and why (wg match why --explain)'
for page in why plan context match reward evolve inbox; do
    wg add "Write the page on $page" --id "$page" --skill writing --complexity moderate \
        --output "$page.md" -d 'It ends with an example.'
done
wg match why --explain

say 'They are written, judged, written again where that is too little (wg run --until-idle)'
wg service resume
wg run --until-idle

say 'How one was judged (wg reward show why), and what the second attempt was told of the first'
wg reward show why
second=$(wg show why --json | python3 -c \
    'import json, sys; print(json.load(sys.stdin)["data"]["runs"][1]["id"])')
wg context why --agent "$second" | sed -n '/^===== attempts/,/^===== end of attempts/p'

say 'The record (wg actor stats ada --by skill), and what follows from it (wg match)'
wg actor stats ada --by skill
wg add 'Write the page on spend' --id spend --skill writing --complexity moderate --paused
wg match spend --explain

say "A person's word counts before the evaluator's (wg reward record)"
wg reward record plan --score 0.4 --notes 'the example is another command'
wg reward show plan

say 'Is the evaluator any good? (wg reward run --canary cases.jsonl)'
wg reward run --canary "$tools/cases.jsonl"

say 'What would be changed (wg evolve --dry-run)'
wg evolve --dry-run
wg service stop

#!/bin/sh
# Four tasks that build on each other, and a question to a person. README.md says more.
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v wg >/dev/null || {
    echo "run.sh: wg is not in PATH; after make install: PATH=\"\$PWD/.venv/bin:\$PATH\" $0" >&2
    exit 2
}
unset WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_TOKEN
say() { printf '\n== %s\n' "$1"; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/handing-on.XXXXXX")
clean_up() {
    status=$?
    trap - EXIT HUP INT TERM
    [ ! -d "$scratch/.wg" ] || wg --dir "$scratch" kill --all >/dev/null 2>&1 || status=1
    rm -rf -- "$scratch"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
cd -- "$scratch"

say 'A diamond: a survey, two looks at it, a memo of both'
wg init
cp -- "$tools/config.toml" .wg/config.toml
cp -- "$tools/scripted_agent.py" .
echo 'We need a table:' >style.md
wg add 'Ask for offers' --id survey --output survey.md
wg add 'What it costs' --id costs --input survey:survey.md
wg add 'What can go wrong' --id risks --input survey:survey.md
wg add 'Write the memo' --id memo --input costs:costs.md --input risks:risks.md \
    --context-file style.md
wg why memo

say 'They are worked off, until one of them asks something (wg run --until-idle)'
wg run --until-idle || true
say 'What waits for a person (wg inbox)'
wg inbox

say 'It is answered; what was handed on stays what it was'
echo 'overwritten by somebody' >costs.md
wg answer risks 'five years'
wg run --until-idle

say 'What the second attempt at risks was told, block by block (wg context risks --agent agent-4 --explain)'
wg output agent-4
wg context risks --agent agent-4 --explain
say 'What the memo was told (wg context memo --agent agent-5)'
wg context memo --agent agent-5
say 'The memo'
cat memo.md

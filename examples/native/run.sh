#!/bin/sh
# Two tasks for the native agent, at a model server of yours. README.md says more.
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ $# -ge 1 ] || {
    echo "run.sh: name a server, as in $0 http://127.0.0.1:8080/v1 [MODEL]" >&2
    exit 2
}
command -v wg >/dev/null || {
    echo "run.sh: wg is not in PATH; after make install: PATH=\"\$PWD/.venv/bin:\$PATH\" $0 $*" >&2
    exit 2
}
unset WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_TOKEN
say() { printf '\n== %s\n' "$1"; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/native.XXXXXX")
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

say 'Two tasks; the second waits for what the first hands over'
wg init
sed -e "s|\"URL\"|\"$1\"|" -e "s|\"MODEL\"|\"${2:-}\"|" "$tools/config.toml" >.wg/config.toml
wg add 'Write a poem' --id poem --output poem.txt \
    -d 'Write a poem of four lines about the sea into the file poem.txt.'
wg add 'Find a title' --id title --input poem:poem.txt --output title.txt \
    -d 'Read poem.txt, and write a title for it, one line, into the file title.txt.'

say 'What would be started (wg plan poem)'
wg plan poem

say 'They are worked off (wg run --until-idle)'
wg run --until-idle

say 'What came of it'
wg list --all
cat title.txt poem.txt

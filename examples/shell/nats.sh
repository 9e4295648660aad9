#!/usr/bin/env bash
# Put, get and watch with the nats CLI, against a node of replicator. Ends with 0
# only if all went as it says.
#
#   NATS_URL            nats://127.0.0.1:4222
#   REPLICATOR_PREFIX   replicator
#   REPLICATOR_BUCKET   default
set -euo pipefail

export NATS_URL="${NATS_URL:-nats://127.0.0.1:4222}"
readonly prefix="${REPLICATOR_PREFIX:-replicator}"
readonly bucket="${REPLICATOR_BUCKET:-default}"

scratch="$(mktemp -d)"
watcher=""
trap '[[ -z "$watcher" ]] || kill "$watcher" 2>/dev/null || true; rm -rf "$scratch"' EXIT

fail() { echo "nats.sh: $*" >&2; exit 1; }

# ask prints the reply to a verb, and fails if it is an error. That is told by the
# body here. A value may look like one: who has to know leaves --raw out and looks
# for the header Nats-Service-Error-Code.
ask() { # verb body
	local reply
	reply="$(nats req --raw --no-templates --timeout 5s "$prefix.$bucket.api.$node.$1" "$2")" || return
	printf '%s\n' "$reply"
	[[ "$reply" != '{"v":1,"error":'* ]]
}

# field prints a text field of the first line of JSON that has it; jq does it well.
field() { sed -nE "/\"$1\":\"/{s/.*\"$1\":\"([^\"]*)\".*/\1/p;q}"; }

# await runs a command until it succeeds, for 10 seconds.
await() { # what command...
	local what="$1" _
	shift
	for _ in {1..100}; do
		! "$@" || return 0
		sleep 0.1
	done
	fail "not within 10 seconds: $what"
}

# Any node answers status. The one that did is asked for all the rest: a watch
# runs at one node, and who reads there finds what it wrote there.
node=any
node="$(ask status '' | sed -E 's/^\{"v":1,"node":"([^"]*)".*/\1/')"
echo "node $node answers"

echo "put shell/colour = red"
ask put '{"key":"shell/colour","value":"red"}'

echo "get shell/colour"
value="$(ask get shell/colour)"
echo "$value"
[[ "$value" == red ]] || fail "got $value"

echo "get shell/nothing, which is not there"
if refusal="$(ask get shell/nothing)"; then
	fail "got $refusal"
fi
echo "$refusal"
[[ "$(field code <<<"$refusal")" == not_found ]] || fail "another error: $refusal"

# A stream answers with many messages, each with a line about itself before the
# lines of its own. It lives for 30 seconds unless it is renewed.
echo "watch shell/, from the start"
nats req --raw --no-templates --replies 0 --timeout 60s "$prefix.$bucket.api.$node.watch" \
	'{"prefix":"shell/","from_start":true,"marks":true}' >"$scratch/watch" 2>"$scratch/complaint" &
watcher=$!
await "what is there has been told" grep -q '"caught_up":true' "$scratch/watch"
stream="$(field stream <"$scratch/watch")"

number="$(sed -nE 's/.*"number":([0-9]+).*/\1/p' "$scratch/watch" | tail -n 1)"
echo "renew it: $number messages were taken"
ask watch "{\"renew\":\"$stream\",\"number\":$number}"

echo "delete shell/colour"
ask del shell/colour
await "the delete is told" grep -q '"key":"shell/colour","deleted":true' "$scratch/watch"

echo "stop the watch, which said:"
ask watch "{\"stop\":\"$stream\"}"
await "its end is told" grep -q '"type":"error"' "$scratch/watch"
cat "$scratch/watch"

echo "done"

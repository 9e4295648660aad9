#!/usr/bin/env bash
# Put, get and watch over HTTP with curl, against a node of replicator that was
# started with --http. Ends with 0 only if all went as it says.
#
#   REPLICATOR_URL      http://127.0.0.1:8080
#   REPLICATOR_BUCKET   default
#   REPLICATOR_HTTP_TOKEN, if the node has one
set -euo pipefail

readonly keys="${REPLICATOR_URL:-http://127.0.0.1:8080}/v1/buckets/${REPLICATOR_BUCKET:-default}"

scratch="$(mktemp -d)"
watchers=()
trap 'kill "${watchers[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

fail() { echo "curl.sh: $*" >&2; exit 1; }

# The token stands in a file, not on a command line that others of the machine see.
: >"$scratch/headers"
[[ -z "${REPLICATOR_HTTP_TOKEN:-}" ]] || echo "Authorization: Bearer $REPLICATOR_HTTP_TOKEN" >"$scratch/headers"

# ask prints the body of an answer, and fails if it is an error.
ask() { curl -sS -w '\n' --fail-with-body --path-as-is --max-time 10 -H "@$scratch/headers" "$@"; }

# status prints the status of an answer, whose body goes to a file.
status() { curl -sS -o "$scratch/body" -w '%{http_code}' --max-time 10 -H "@$scratch/headers" "$@"; }

# watch follows changes in the background, until the script ends.
watch() { # file argument...
	local file="$1"
	shift
	curl -sSN -H "@$scratch/headers" "$@" >"$file" &
	watchers+=($!)
}

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

echo "put shell/colour = red, for an hour"
ask -X PUT --data-binary red "$keys/keys/shell/colour?ttl=1h"

echo "get shell/colour"
value="$(ask "$keys/keys/shell/colour")"
echo "$value"
[[ "$value" == red ]] || fail "got $value"

echo "get shell/nothing, which is not there"
code="$(status "$keys/keys/shell/nothing")"
echo "$code $(cat "$scratch/body")"
[[ "$code" == 404 ]] && grep -q '"code":"not_found"' "$scratch/body" || fail "another answer"

echo "create shell/colour, which is there"
code="$(status -X PUT -H 'If-None-Match: *' --data-binary blue "$keys/keys/shell/colour")"
echo "$code $(cat "$scratch/body")"
[[ "$code" == 412 ]] && grep -q '"code":"exists"' "$scratch/body" || fail "another answer"

echo "watch shell/ from the start: as lines of JSON, and as server-sent events"
watch "$scratch/lines" "$keys/watch?prefix=shell/&from=start"
watch "$scratch/events" -H 'Accept: text/event-stream' "$keys/watch?prefix=shell/&from=start"
await "what is there has been told" grep -q caught_up "$scratch/lines"
await "what is there has been told" grep -q caught_up "$scratch/events"

echo "delete shell/colour"
ask -X DELETE "$keys/keys/shell/colour"
await "the delete is told" grep -q '"key":"shell/colour","deleted":true' "$scratch/lines"
await "the delete is told" grep -q '^event: delete' "$scratch/events"

echo "the lines were:"
cat "$scratch/lines"
echo "the events were:"
cat "$scratch/events"

echo "done"

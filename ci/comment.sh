#!/usr/bin/env bash
# Put the verdict on a pull request: one comment, updated in place. Needs `gh` and GH_TOKEN.
#
#   GATE_OUT          the folder with verdict.md
#   GATE_REPOSITORY   owner/name
#   GATE_PULL         the number of the pull request
#   GATE_MARK         tells the comments of several gates apart (gate)
set -euo pipefail

case "$GATE_PULL" in '' | *[!0-9]*)
    echo "gate: not the number of a pull request, so there is no comment" >&2
    exit 0
    ;;
esac
mark="<!-- ${GATE_MARK:-gate} -->"
body=$(mktemp)
trap 'rm -f "$body"' EXIT
if [ -f "$GATE_OUT/verdict.md" ]; then
    { echo "$mark"; cat "$GATE_OUT/verdict.md"; } >"$body"
else
    { echo "$mark"; echo "## The gate has no verdict"; echo; echo "The step's log says why."; } >"$body"
fi

# The mark is compared as text, by jq, among the first lines of all comments.
earlier=$(MARK=$mark gh api --paginate "repos/$GATE_REPOSITORY/issues/$GATE_PULL/comments" \
    --jq '.[] | select(.body | startswith(env.MARK)) | .id' | head -n 1)
if [ -n "$earlier" ]; then
    gh api --method PATCH "repos/$GATE_REPOSITORY/issues/comments/$earlier" --field "body=@$body" --silent
else
    gh api --method POST "repos/$GATE_REPOSITORY/issues/$GATE_PULL/comments" --field "body=@$body" --silent
fi

#!/usr/bin/env bash
# One step of a pipeline: judge an update, and keep every report whatever the verdict is.
#
# All inputs are environment variables, so that no name can become a command:
#   GATE_POLICY       the policy file
#   GATE_MODEL, GATE_CANDIDATE, GATE_INCUMBENT (@champion), GATE_DATA    two versions of a registry, or
#   GATE_PREDICTIONS, GATE_LABEL, GATE_CANDIDATE, GATE_INCUMBENT         the columns of a file of predictions
#   GATE_ENVIRONMENT  the environment of the policy                      (optional)
#   GATE_SAMPLES      how many flipped rows are kept of each kind; 0 for private data (100)
#   GATE_OUT          the folder for the reports (gate-report)
#
# Exits with the gate's exit code: only 0 allows.
set -uo pipefail

out=${GATE_OUT:-gate-report}
mkdir -p "$out" || exit 12
rm -f "$out/decision.json" "$out/outputs.env" # of a run before this one

if [ -n "${GATE_PREDICTIONS:-}" ]; then
    command=(gate compare "$GATE_PREDICTIONS" --candidate "${GATE_CANDIDATE:-}" --incumbent "${GATE_INCUMBENT:-}")
    [ -z "${GATE_LABEL:-}" ] || command+=(--label "$GATE_LABEL")
else
    command=(gate check --data "${GATE_DATA:-}" --candidate "${GATE_CANDIDATE:-}"
        --incumbent "${GATE_INCUMBENT:-@champion}")
    [ -z "${GATE_MODEL:-}" ] || command+=(--model "$GATE_MODEL")
fi
[ -z "${GATE_ENVIRONMENT:-}" ] || command+=(--env "$GATE_ENVIRONMENT")
command+=(--policy "${GATE_POLICY:-}" --samples "${GATE_SAMPLES:-100}")

reports=(json=decision.json samples=samples.jsonl html=verdict.html markdown=verdict.md junit=junit.xml sarif=gate.sarif
    github=annotations.txt openmetrics=metrics.txt outputs=outputs.env)
for report in "${reports[@]}"; do
    command+=(--report "${report%%=*}=$out/${report#*=}")
done

"${command[@]}"
code=$?
if [ ! -f "$out/outputs.env" ]; then
    printf 'verdict=error\nexit_code=%s\nfailed_rules=\nnfr=\nn=\n' "$code" >"$out/outputs.env"
fi
exit "$code"

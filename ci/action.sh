#!/usr/bin/env bash
# What the GitHub action runs. Inputs are variables named ACTION_..., lists have
# an item a line; nothing of them is ever evaluated by the shell.
set -euo pipefail

# Fixed texts only: what comes from outside could be a command to the runner.
die() {
  printf '::error title=distproof::%s\n' "$1"
  printf 'exit-code=2\n' >>"$GITHUB_OUTPUT"
  exit 2
}

# lines VALUE NAME: append the lines of VALUE that are not empty to the array.
lines() {
  local -n into=$2
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    if [[ -n $line ]]; then into+=("$line"); fi
  done <<<"$1"
}

captures=() extra=()
lines "${ACTION_CAPTURE:-}" captures
lines "${ACTION_ARGS:-}" extra
((${#captures[@]})) || die 'the input "capture" is empty'
dir=${ACTION_REPORT_DIR:-distproof-report}
# A line break would end the output's line below, and begin another output.
[[ $dir != *[[:cntrl:]]* ]] || die 'the input "report-dir" has a control character'
[[ $dir != -* ]] || dir=./$dir

flags=()
if [[ -n ${ACTION_POLICY:-} ]]; then flags+=("--policy=$ACTION_POLICY"); fi
if [[ -n ${ACTION_BASELINE:-} ]]; then flags+=("--baseline=$ACTION_BASELINE"); fi

work=$(mktemp -d "${RUNNER_TEMP:-/tmp}/distproof.XXXXXX")
trap 'rm -rf "$work"' EXIT

program=${ACTION_BINARY:-}
if [[ -z $program ]]; then
  program=$work/distproof
  (cd "$ACTION_PATH" && CGO_ENABLED=0 go build -trimpath -o "$program" ./cmd/distproof) || die 'distproof could not be built'
fi

mkdir -p "$dir"
rm -f "$dir/distproof.json" "$dir/distproof.sarif" "$dir/distproof.junit.xml" # of a run before

code=0
"$program" verify "${flags[@]}" "${extra[@]}" -o table \
  -o "json=$dir/distproof.json" -o "sarif=$dir/distproof.sarif" -o "junit=$dir/distproof.junit.xml" \
  -o "markdown=$work/summary.md" -o "github=$work/annotations" -- "${captures[@]}" || code=$?

if [[ ${ACTION_ANNOTATIONS:-true} == true && -s $work/annotations ]]; then cat "$work/annotations"; fi
if [[ ${ACTION_SUMMARY:-true} == true && -s $work/summary.md ]]; then cat "$work/summary.md" >>"$GITHUB_STEP_SUMMARY"; fi
# Whoever killed it, or whatever else went wrong: there is no verdict.
case $code in
0 | 1 | 3) ;;
*) die 'distproof could not run: the log has the error' ;;
esac
{
  printf 'exit-code=%s\n' "$code"
  printf 'json=%s\n' "$dir/distproof.json"
  printf 'sarif=%s\n' "$dir/distproof.sarif"
  printf 'junit=%s\n' "$dir/distproof.junit.xml"
} >>"$GITHUB_OUTPUT"
exit "$code"

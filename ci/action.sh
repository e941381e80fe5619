#!/usr/bin/env bash
# What the GitHub action runs. Inputs are variables named ACTION_..., lists have
# an item a line; nothing of them is ever evaluated by the shell, but for the
# script that is to be recorded.
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

captures=() extra=() interfaces=()
lines "${ACTION_CAPTURE:-}" captures
lines "${ACTION_ARGS:-}" extra
lines "${ACTION_INTERFACE:-any}" interfaces
recorded=${ACTION_RECORD:-}
if [[ -z $recorded ]]; then
  ((${#captures[@]})) || die 'the inputs "capture" and "record" are empty'
else
  ((${#captures[@]} == 0)) || die 'the inputs "capture" and "record" exclude each other'
fi
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

if [[ -n $recorded && $EUID -ne 0 ]]; then
  # A copy, as the file that has the right to capture should not stay.
  cp "$(command -v "$program")" "$work/record" && sudo -n setcap cap_net_raw+ep "$work/record" || die 'no right to capture: setcap failed'
  program=$work/record
fi

mkdir -p "$dir"
rm -f "$dir/distproof.json" "$dir/distproof.sarif" "$dir/distproof.junit.xml" # of a run before

reports=(-o table -o "json=$dir/distproof.json" -o "sarif=$dir/distproof.sarif" -o "junit=$dir/distproof.junit.xml"
  -o "markdown=$work/summary.md" -o "github=$work/annotations")
code=0
if [[ -n $recorded ]]; then
  "$program" record "${interfaces[@]/#/--interface=}" "${flags[@]}" "${extra[@]}" "${reports[@]}" \
    -- bash -eo pipefail -c "$recorded" || code=$?
else
  "$program" verify "${flags[@]}" "${extra[@]}" "${reports[@]}" -- "${captures[@]}" || code=$?
fi

if [[ ${ACTION_ANNOTATIONS:-true} == true && -s $work/annotations ]]; then cat "$work/annotations"; fi
if [[ ${ACTION_SUMMARY:-true} == true && -s $work/summary.md ]]; then cat "$work/summary.md" >>"$GITHUB_STEP_SUMMARY"; fi
# Whoever killed it, or whatever else went wrong: there is no verdict.
case $code in
0 | 1 | 3) ;;
2) # A script that failed has a report all the same.
  [[ -n $recorded && -s $dir/distproof.json ]] || die 'distproof could not run: the log has the error'
  printf '::error title=distproof::the recorded script failed: the log has the error\n'
  ;;
*) die 'distproof could not run: the log has the error' ;;
esac
{
  printf 'exit-code=%s\n' "$code"
  printf 'json=%s\n' "$dir/distproof.json"
  printf 'sarif=%s\n' "$dir/distproof.sarif"
  printf 'junit=%s\n' "$dir/distproof.junit.xml"
} >>"$GITHUB_OUTPUT"
exit "$code"

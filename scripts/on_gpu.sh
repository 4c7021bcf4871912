#!/bin/sh
# What is to be known of a machine with a GPU, in about ten minutes: scripts/on_gpu.sh [FOLDER]
# Runs the tests on it, the checks against the processor and the benchmark, and writes all into one folder:
# environment.txt, tests.log, checks.md, checks.json, benchmark.json, benchmark.log, summary.md. A part that fails or
# runs out of its time is named in summary.md, and the others go on. PYTHON and DEVICE (cuda) choose what runs where.
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-"$root/.venv/bin/python"}
[ -x "$python" ] || python=python3
device=${DEVICE:-cuda}
folder=${1:-outputs/on_gpu}
mkdir -p "$folder" && folder=$(cd "$folder" && pwd) && cd "$root" || exit 2
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

{
    date -u
    git log -1 --format='%H %s' 2>/dev/null
    nvidia-smi 2>/dev/null
    "$python" -m torch.utils.collect_env
    "$python" -m pip list 2>/dev/null
} > "$folder/environment.txt" 2>&1

if ! "$python" -c "import sys, torch; torch.zeros(1, device=sys.argv[1])" "$device" 2> "$folder/device.log"; then
    echo "no device $device: see $folder/device.log" >&2
    exit 2
fi

summary=$folder/summary.md
echo "# On $device, $(date -u +%Y-%m-%d)" > "$summary"
failed=0
# part NAME SECONDS COMMAND...: runs a part, with its log and a line in the summary.
part() {
    name=$1 limit=$2
    shift 2
    start=$(date +%s)
    timeout "$limit" "$@" > "$folder/$name.log" 2>&1
    status=$?
    ended="exit status $status"
    [ $status -eq 0 ] && ended=ok
    [ $status -eq 124 ] && ended="not finished in $limit s"
    [ $status -eq 0 ] || failed=1
    { echo; echo "## $name: $ended, $(($(date +%s) - start)) s"; echo; } >> "$summary"
}

library="tests/solvers tests/curvature tests/metrics $(ls tests/test_*.py | grep -v -e test_docs -e test_imports)"
workers=${WORKERS:-8}
part tests "${TESTS_SECONDS:-210}" "$python" -m pytest --device "$device" -q -n "$workers" $library ${TESTS:-}
tail -n 3 "$folder/tests.log" >> "$summary"

part checks "${CHECKS_SECONDS:-150}" "$python" scripts/check_devices.py --devices "cpu,$device" --output "$folder" \
    --networks "${NETWORKS:-resnet50,efficientnet_lite0,vit_b_16}" --images "${IMAGES:-3}"
cat "$folder/checks.md" >> "$summary" 2>/dev/null

part benchmark "${BENCHMARK_SECONDS:-240}" "$python" scripts/benchmark.py --devices "$device" --quick \
    --models "${MODELS:-resnet50,vit_b_16}" --batches "${BATCHES:-1,8,64,256}" --output "$folder/benchmark.json"
{ echo '```'; cat "$folder/benchmark.log"; echo '```'; } >> "$summary"

echo "$summary"
exit $failed

#!/usr/bin/env bash
# The engine on a GPU, in one command: needs nvcc, cmake and a C++20 compiler, no Node.
#
#   native/bench/gpu.sh [BUILD_DIRECTORY] [JSON_FILE]
#
# Builds from these sources for the GPU that is there, runs every case whose name begins with "gpu" on it (each operation
# against the double precision reference; small networks against the CPU, alone and among others, and moved between the
# two), then the layers' cases under compute-sanitizer's memcheck and racecheck where it works. Prints one table and
# writes a JSON file. Exit code 0 when all passed, 1 when something failed, 2 when the machine lacks what it takes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$(mktemp -d)}
json=${2:-$build/gpu.json}
table=$build/gpu.table
tests=$build/native_tests
mkdir -p "$build"
export PATH=$PATH:/usr/local/cuda/bin

lacks() {
  echo "gpu.sh: $1" >&2
  exit 2
}

command -v nvidia-smi >/dev/null || lacks "no GPU here: nvidia-smi was not found; run this on a machine with an NVIDIA GPU and its driver"
gpus=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader) || lacks "no GPU here: nvidia-smi says: $gpus"
[ -n "$gpus" ] || lacks "no GPU here: nvidia-smi lists none"
command -v nvcc >/dev/null || lacks "nvcc was not found; install the CUDA toolkit"
command -v cmake >/dev/null || lacks "cmake was not found; install cmake 3.25 or newer"
IFS=, read -r name capability driver <<<"$(head -n 1 <<<"$gpus")"
capability=${capability// /}
driver=${driver// /}
toolkit=$(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')

: >"$table"
failed=0
# run WHAT LOG COMMAND...: one line of the table.
run() {
  local what=$1 log=$2 status=passed started ended
  shift 2
  started=$(date +%s%N)
  "$@" >"$log" 2>&1 || status=failed
  ended=$(date +%s%N)
  if [ $status = passed ] && grep -q SKIPPED "$log"; then status=skipped; fi
  if [ $status != passed ]; then
    failed=1
    tail -n 30 "$log" >&2
  fi
  printf '%s\t%s\t%d\n' "$what" "$status" $(((ended - started) / 1000000)) >>"$table"
  [ $status = passed ]
}

configure_and_build() {
  cmake -S "$here" -B "$build" -DCONVSWEEP_ADDON=OFF -DCONVSWEEP_TESTS=ON -DCONVSWEEP_CUDA=on \
    "-DCONVSWEEP_CUDA_ARCHITECTURES=${capability//./}" &&
    cmake --build "$build" --target native_tests --parallel "$(nproc)"
}

if run "build" "$build/build.log" configure_and_build; then
  "$tests" --list-test-cases --test-case='gpu:*' | sed -n 's/^gpu: /gpu: /p' >"$build/cases"
  while IFS= read -r case; do
    # A comma would separate two names.
    run "$case" "$build/case.log" "$tests" --test-case="${case//,/?}" || true
  done <"$build/cases"
  if ! command -v compute-sanitizer >/dev/null; then
    printf '%s\t%s\t0\n' "compute-sanitizer" "not found" >>"$table"
  else
    for tool in memcheck racecheck; do
      if timeout 60 compute-sanitizer --tool "$tool" "$tests" --test-case='cuda: versions*' >"$build/$tool.try" 2>&1; then
        run "$tool" "$build/$tool.log" timeout 100 compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" \
          --test-case='gpu: every layer*' || true
      else
        printf '%s\t%s\t0\n' "$tool" "does not work here" >>"$table"
      fi
    done
  fi
fi

printf '%s, compute capability %s, driver %s, CUDA %s\n' "$name" "$capability" "$driver" "$toolkit"
awk -F'\t' '{ printf "%-72s %-20s %8.1f s\n", $1, $2, $3 / 1000 }' "$table"
awk -F'\t' -v gpu="$name" -v capability="$capability" -v driver="$driver" -v toolkit="$toolkit" '
  function text(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "\"" s "\"" }
  BEGIN {
    printf "{\"gpu\": %s, \"compute_capability\": %s, \"driver\": %s, \"cuda\": %s, \"results\": [",
      text(gpu), text(capability), text(driver), text(toolkit)
  }
  { printf "%s{\"what\": %s, \"status\": %s, \"milliseconds\": %d}", (NR > 1 ? ", " : ""), text($1), text($2), $3 }
  END { print "]}" }' "$table" >"$json"
echo "written to $json"
exit $failed

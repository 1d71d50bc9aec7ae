#!/usr/bin/env bash
# Starts and stops the nodes of the devnet, each alone or all together. Everything listens on the loopback interface.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ROOT="$(cd "$HERE/../.." && pwd)"
DIR="${ACURAST_DEVNET_DIR:-$ROOT/target/devnet}"
ACURAST_PORT="${ACURAST_PORT:-9944}"
ANVIL_PORT="${ANVIL_PORT:-8545}"
FINALITY_LAG="${ACURAST_FINALITY_LAG:-1}"
DEVNODE="${ACURAST_DEVNODE:-${ACURAST_TARGET_DIR:-$HOME/.cache/acurast-relayer}/devnode-target/debug/acurast-devnode}"
ANVIL="${ANVIL:-$ROOT/contracts/evm/node_modules/.bin/anvil}"
READY_SECONDS="${ACURAST_DEVNET_READY_SECONDS:-60}"

usage() {
  cat <<TEXT
devnet.sh up|down|status [acurast|anvil|all]

  up      starts what isn't running and waits until it answers
  down    stops it, by the pid that up wrote
  status  one line each: running or not, pid, address, height and time; exit code 1 when one of them isn't running

acurast: the real Acurast runtime (deploy/devnode) on ws://127.0.0.1:\$ACURAST_PORT (9944), final \$ACURAST_FINALITY_LAG (1) blocks below its head
anvil:   chain 31337, hardfork prague, on http://127.0.0.1:\$ANVIL_PORT (8545); mines on request only, final 2 blocks below its head;
         the account keys are anvil's own deterministic ones. Its clock starts at the Acurast chain's when that is running.

Both mine on request: workload.mjs (or clock.mjs) is what makes time pass.
Files: \$ACURAST_DEVNET_DIR (target/devnet) holds NAME.pid and NAME.log.
Also: ACURAST_CHAIN_SPEC (see fetch-spec.sh), ACURAST_DEVNODE and ANVIL (other binaries), ACURAST_DEVNET_READY_SECONDS (60),
ACURAST_CLOCK_MS (first clock of the Acurast chain, and of an EVM node without one, ms; the machine's by default).
TEXT
}

die() { echo "devnet: $*" >&2; exit 1; }
url_of() { case "$1" in acurast) echo "ws://127.0.0.1:$ACURAST_PORT" ;; anvil) echo "http://127.0.0.1:$ANVIL_PORT" ;; esac; }
ask() { node "$HERE/ask.mjs" "$1" "$(url_of "$1")"; }

# The pid that up wrote, when that process is still the one we started: a pid can be given again.
pid_of() {
  local pid start
  [[ -f "$DIR/$1.pid" ]] || return 1
  read -r pid start < "$DIR/$1.pid" || return 1
  [[ -n "$pid" && "$(started_at "$pid")" == "$start" ]] || return 1
  echo "$pid"
}
# Start time of a process in clock ticks since boot; empty when there is none, or it only waits to be reaped.
started_at() { sed -e 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

launch() {
  local name="$1"
  shift
  mkdir -p "$DIR"
  # setsid: a Ctrl-C at the terminal reaches whoever called up, who decides what to stop.
  setsid "$@" < /dev/null > "$DIR/$name.log" 2>&1 &
  local pid=$!
  echo "$pid $(started_at "$pid")" > "$DIR/$name.pid"
}

wait_ready() {
  local name="$1" deadline=$((SECONDS + READY_SECONDS))
  until ask "$name" > /dev/null; do
    if ! pid_of "$name" > /dev/null; then
      tail -n 20 "$DIR/$name.log" >&2
      die "$name ended while starting; its log is $DIR/$name.log"
    fi
    if ((SECONDS >= deadline)); then
      down "$name"
      die "$name did not answer on $(url_of "$name") within $READY_SECONDS s; its log is $DIR/$name.log"
    fi
    sleep 0.1
  done
}

up() {
  local name="$1"
  if pid_of "$name" > /dev/null; then
    status "$name"
    return
  fi
  # Somebody else's node on our port would pass for ours.
  if ask "$name" > /dev/null; then die "something else answers on $(url_of "$name"); choose another port (ACURAST_PORT, ANVIL_PORT)"; fi
  case "$name" in
    acurast)
      [[ -x "$DEVNODE" ]] || die "$DEVNODE is not built; run deploy/setup.sh --devnode"
      local spec
      spec="$("$HERE/fetch-spec.sh")" || die "no chain spec"
      local args=(--spec "$spec" --port "$ACURAST_PORT" --finality-lag "$FINALITY_LAG")
      if [[ -n "${ACURAST_CLOCK_MS:-}" ]]; then args+=(--clock-ms "$ACURAST_CLOCK_MS"); fi
      launch acurast "$DEVNODE" "${args[@]}"
      ;;
    anvil)
      [[ -x "$ANVIL" ]] || die "$ANVIL is missing; run deploy/setup.sh --node"
      local args=(--host 127.0.0.1 --port "$ANVIL_PORT" --chain-id 31337 --hardfork prague --no-mining --slots-in-an-epoch 1 --quiet)
      local acurast
      if acurast="$(ask acurast)"; then
        args+=(--timestamp "$(node -p 'Math.floor(JSON.parse(process.argv[1]).timestamp / 1000)' "$acurast")")
      elif [[ -n "${ACURAST_CLOCK_MS:-}" ]]; then
        args+=(--timestamp "$((ACURAST_CLOCK_MS / 1000))")
      fi
      launch anvil "$ANVIL" "${args[@]}"
      ;;
  esac
  wait_ready "$name"
  status "$name"
}

down() {
  local name="$1" pid
  if pid="$(pid_of "$name")"; then
    kill "$pid"
    local deadline=$((SECONDS + 10))
    while [[ -n "$(started_at "$pid")" ]]; do
      if ((SECONDS >= deadline)); then
        echo "devnet: $name (pid $pid) ignores SIGTERM; killing it" >&2
        kill -9 "$pid"
        deadline=$((SECONDS + 10))
      fi
      sleep 0.05
    done
    echo "$name stopped"
  fi
  rm -f "$DIR/$name.pid"
}

status() {
  local pid
  if pid="$(pid_of "$1")"; then
    echo "$1 running, pid $pid, $(url_of "$1"), $(ask "$1" || echo 'not answering')"
  else
    echo "$1 not running"
    return 1
  fi
}

[[ $# -ge 1 && $# -le 2 ]] || { usage >&2; exit 2; }
case "$1" in
  --help | -h) usage; exit 0 ;;
  up | down | status) command="$1" ;;
  *) usage >&2; exit 2 ;;
esac
case "${2:-all}" in
  all) names=(acurast anvil) ;;
  acurast | anvil) names=("$2") ;;
  *) usage >&2; exit 2 ;;
esac
if [[ "$command" == status ]]; then
  code=0
  for name in "${names[@]}"; do status "$name" || code=1; done
  exit "$code"
fi
for name in "${names[@]}"; do "$command" "$name"; done

# shellcheck shell=bash
# What demo.sh and chaos-crash.sh share: a devnet of their own with a world and the relayer's configuration in it, and the promise that
# whatever was started is stopped again. Source it, set DIR, call `prepare`.

DEPLOY="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
ROOT="$(cd "$DEPLOY/.." && pwd)"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/acurast-relayer/target}"
export ACURAST_REPORTS="${ACURAST_REPORTS:-$ROOT/target/reports}"
RELAYER="${RELAYER:-$CARGO_TARGET_DIR/debug/acurast-relayer}"

say() { echo "$*" >&2; }
die() { say "$*"; exit 1; }

# The running foreground program, in a process group of its own so that a signal to this script reaches it exactly once.
CHILD=""
run() {
  local code=0
  set -m
  "$@" < /dev/null &
  CHILD=$!
  set +m
  wait "$CHILD" || code=$?
  CHILD=""
  return "$code"
}

end_child() {
  [[ -n "$CHILD" ]] || return 0
  kill -TERM -- "-$CHILD" 2> /dev/null || true
  wait "$CHILD" 2> /dev/null || true
  CHILD=""
}

devnet() { ACURAST_DEVNET_DIR="$DIR" "$DEPLOY/devnet/devnet.sh" "$@"; }

# Builds what isn't there yet; `make` has built everything before.
need_programs() {
  [[ -x "$RELAYER" ]] || { say "building the relayer"; (cd "$ROOT" && cargo build --quiet --locked -p acurast-relayer) || die "the relayer does not build"; }
  [[ -d "$ROOT/contracts/evm/out/AcurastSettlement.sol" && -d "$DEPLOY/devnet/node_modules" ]] || "$DEPLOY/setup.sh" --contracts
  [[ "${SOURCE:-runtime}" == runtime ]] || return 0
  local devnode="${ACURAST_DEVNODE:-${ACURAST_TARGET_DIR:-$HOME/.cache/acurast-relayer}/devnode-target/debug/acurast-devnode}"
  [[ -x "$devnode" ]] || "$DEPLOY/setup.sh" --devnode
}

# The chain spec's path in ACURAST_CHAIN_SPEC; fails without one.
need_spec() {
  ACURAST_CHAIN_SPEC="$("$DEPLOY/devnet/fetch-spec.sh")" || return 1
  export ACURAST_CHAIN_SPEC
}

choose_ports() {
  local free
  read -r -a free <<< "$(node "$DEPLOY/demo/ports.mjs" 3)"
  export ACURAST_PORT="${ACURAST_PORT:-${free[0]}}" ANVIL_PORT="${ANVIL_PORT:-${free[1]}}" API_PORT="${API_PORT:-${free[2]}}"
}

# An empty DIR. One that an earlier run made is emptied, whatever of it still runs stopped; any other is left alone.
fresh_directory() {
  if [[ -e "$DIR/.devnet" ]]; then
    devnet down > /dev/null
    rm -rf "$DIR"
  elif [[ -e "$DIR" && -n "$(ls -A "$DIR")" ]]; then
    die "$DIR is not of an earlier run; choose another directory or remove it"
  fi
  mkdir -p "$DIR"
  touch "$DIR/.devnet"
}

# A fresh devnet in DIR with a world of JOBS jobs drawn from SEED, and the relayer's configuration for it. Further arguments go to setup.
prepare() {
  fresh_directory
  choose_ports
  devnet up
  run node "$DEPLOY/devnet/workload.mjs" setup --out "$DIR" --jobs "$JOBS" --seed "$SEED" "$@"
  node "$DEPLOY/demo/config.mjs" --world "$DIR/world.json" --out "$DIR" --api "127.0.0.1:$API_PORT" > /dev/null
}

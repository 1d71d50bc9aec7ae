#!/usr/bin/env bash
# Thousands of outputs onto an EVM chain in bad weather, through proxies that spoil requests, while the relayer is killed every few seconds.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=demo/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo/lib.sh"

DIR="${CHAOS_DIR:-$ROOT/target/chaos-evm}"
FULFILMENTS="${FULFILMENTS:-2000}"
FAULTS_PERMILLE="${FAULTS_PERMILLE:-100}"
SEED="${SEED:-$((RANDOM * 32768 + RANDOM))}"
LIMIT_S="${LIMIT_S:-1800}"
PROXY="${PROXY:-$CARGO_TARGET_DIR/debug/acurast-fault-proxy}"

case "${1:-}" in
  "") ;;
  --help | -h)
    cat <<TEXT
chaos-evm.sh
Delivers FULFILMENTS (2000, at least that) outputs while the EVM chain reorganizes blocks that aren't final, its base fee jumps, its pool
forgets and its blocks pause, FAULTS_PERMILLE (100) of the relayer's requests to it are spoilt, and the relayer is killed every 2 to 5 s, all
drawn from SEED (a new one each time), within LIMIT_S (1800) seconds; writes target/reports/chaos-evm.json. What it leaves in CHAOS_DIR
(target/chaos-evm): journal, state, logs, manifest.
Also: RELAYER and PROXY (the binaries), ACURAST_PORT, ANVIL_PORT, API_PORT (free ones), and what devnet.sh --help lists.
TEXT
    exit 0
    ;;
  *) echo "chaos-evm.sh takes no arguments; see --help" >&2; exit 2 ;;
esac

say "chaos-evm: $FULFILMENTS outputs, $FAULTS_PERMILLE ‰ of requests spoilt, seed $SEED"
need_spec || die "chaos-evm: it needs the real Acurast runtime, and without the chain spec there is none; set ACURAST_CHAIN_SPEC=FILE"
need_programs
[[ -x "$PROXY" ]] || { say "building the fault proxy"; (cd "$ROOT" && cargo build --quiet --locked -p acurast-adapter-testkit --bin acurast-fault-proxy) || die "the fault proxy does not build"; }

finish() {
  local code=$?
  trap - EXIT INT TERM
  end_child
  devnet down > /dev/null || say "chaos-evm: could not stop the devnet; see ACURAST_DEVNET_DIR=$DIR deploy/devnet/devnet.sh down"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

JOBS=1 prepare --fulfilments "$FULFILMENTS"
run node "$DEPLOY/chaos/evm.mjs" --dir "$DIR" --relayer "$RELAYER" --proxy "$PROXY" --api "http://127.0.0.1:$API_PORT" \
  --acurast "ws://127.0.0.1:$ACURAST_PORT" --anvil "http://127.0.0.1:$ANVIL_PORT" --seed "$SEED" --faults-permille "$FAULTS_PERMILLE" --limit-s "$LIMIT_S"

#!/usr/bin/env bash
# kill -9 of the relayer at random moments while it settles many jobs; nothing may be lost, settled twice or differ afterwards.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=demo/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo/lib.sh"

DIR="${CHAOS_DIR:-$ROOT/target/chaos-crash}"
JOBS="${JOBS:-204}"
KILLS="${KILLS:-60}"
SEED="${SEED:-$((RANDOM * 32768 + RANDOM))}"
LIMIT_S="${LIMIT_S:-2400}"

case "${1:-}" in
  "") ;;
  --help | -h)
    cat <<TEXT
chaos-crash.sh
Kills the relayer KILLS (60, at least 50) times at moments drawn from SEED (a new one each time) during JOBS (204, at least 200) jobs, within
LIMIT_S (2400) seconds, and writes target/reports/chaos-crash.json. What it leaves in CHAOS_DIR (target/chaos-crash): journal, state, logs,
manifest. Also: RELAYER (the binary), ACURAST_PORT, ANVIL_PORT, API_PORT (free ones), and what devnet.sh --help lists.
TEXT
    exit 0
    ;;
  *) echo "chaos-crash.sh takes no arguments; see --help" >&2; exit 2 ;;
esac

say "chaos-crash: $JOBS jobs, $KILLS kills, seed $SEED"
need_spec || die "chaos-crash: it needs the real Acurast runtime, and without the chain spec there is none; set ACURAST_CHAIN_SPEC=FILE"
need_programs

finish() {
  local code=$?
  trap - EXIT INT TERM
  end_child
  devnet down > /dev/null || say "chaos-crash: could not stop the devnet; see ACURAST_DEVNET_DIR=$DIR deploy/devnet/devnet.sh down"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

prepare
run node "$DEPLOY/chaos/crash.mjs" --dir "$DIR" --relayer "$RELAYER" --api "http://127.0.0.1:$API_PORT" --acurast "ws://127.0.0.1:$ACURAST_PORT" \
  --anvil "http://127.0.0.1:$ANVIL_PORT" --kills "$KILLS" --seed "$SEED" --limit-s "$LIMIT_S"

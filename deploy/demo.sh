#!/usr/bin/env bash
# The main job end to end on real parts: a devnet, a world, the relayer in it, and a table of what became of every job.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=demo/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo/lib.sh"
# shellcheck source-path=SCRIPTDIR source=demo/recorded.sh
source "$DEPLOY/demo/recorded.sh"
# shellcheck source-path=SCRIPTDIR source=demo/kafka.sh
source "$DEPLOY/demo/kafka.sh"

DIR="${DEMO_DIR:-$ROOT/target/demo}"
JOBS="${JOBS:-24}"
SEED="${SEED:-1}"
KEEP="${KEEP:-0}"
SOURCE="${SOURCE:-runtime}"
JOURNAL="${JOURNAL:-embedded}"
LANES="${LANES:-1}"

usage() {
  cat <<TEXT
demo.sh [down]

Runs JOBS (24) jobs drawn from SEED (1) through a devnet and the relayer, shows them, and writes target/reports/demo.json.
KEEP=1 leaves devnet and relayer up afterwards; "demo.sh down" stops them.
LANES=n spreads the accounts over so many lanes, each with a key of its own (1, up to 5; not of a recording).
JOURNAL=kafka keeps the journal on a Kafka broker of the devnet instead of in the relayer.
SOURCE=recording takes the Acurast blocks from a recording (22 jobs, seed 1), as happens where the chain spec can't be had.
Also: DEMO_DIR (target/demo), RELAYER (the binary), ACURAST_PORT, ANVIL_PORT, API_PORT (free ones), and what devnet.sh --help lists.
TEXT
}

# The kept relayer, by the pid that keep wrote, when that process is still a relayer of this configuration.
kept_relayer() {
  local pid
  [[ -f "$DIR/relayer.pid" ]] || return 1
  pid="$(< "$DIR/relayer.pid")"
  tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline" | grep -qF -- "run --config $DIR/relayer.toml" || return 1
  echo "$pid"
}

down() {
  local pid
  if pid="$(kept_relayer)"; then
    kill "$pid"
    local deadline=$((SECONDS + 30))
    while kept_relayer > /dev/null; do
      ((SECONDS < deadline)) || { say "demo: the relayer (pid $pid) ignores SIGTERM; killing it"; kill -9 "$pid"; deadline=$((SECONDS + 10)); }
      sleep 0.1
    done
    echo "relayer stopped"
  fi
  rm -f "$DIR/relayer.pid"
  broker_down
  devnet down
}

keep() {
  setsid "$RELAYER" run --config "$DIR/relayer.toml" < /dev/null > "$DIR/relayer.log" 2>&1 &
  echo "$!" > "$DIR/relayer.pid"
  local deadline=$((SECONDS + 60))
  until curl --silent --fail --output /dev/null "http://127.0.0.1:$API_PORT/healthz"; do
    ((SECONDS < deadline)) && kept_relayer > /dev/null || { tail -n 20 "$DIR/relayer.log" >&2; die "the relayer did not come up again; its log is $DIR/relayer.log"; }
    sleep 0.2
  done
  cat <<TEXT

Everything is still up:
  relayer            http://127.0.0.1:$API_PORT   (/v1/jobs, /healthz, /metrics; log $DIR/relayer.log)
  EVM node           http://127.0.0.1:$ANVIL_PORT
TEXT
  [[ "$SOURCE" == recording ]] || echo "  Acurast runtime    ws://127.0.0.1:$ACURAST_PORT"
  [[ "$JOURNAL" == embedded ]] || echo "  Kafka broker       $BROKERS   (logs in $DIR/kafka)"
}

further() {
  cat <<TEXT

Look further:
  $RELAYER job list --config $DIR/relayer.toml
  $RELAYER job show --config $DIR/relayer.toml JOB
TEXT
  # Journal and state have one owner at a time; a broker serves any number.
  [[ "$JOURNAL" == kafka && "$KEEP" != 1 ]] && { echo "The journal went with its broker; KEEP=1 leaves both."; return; }
  [[ "$KEEP" == 1 ]] && echo "and, once it is stopped ($0 down):"
  cat <<TEXT
  $RELAYER journal tail --json --config $DIR/relayer.toml
  $RELAYER journal verify --config $DIR/relayer.toml
  $RELAYER replay --config $DIR/relayer.toml
TEXT
}

case "${1:-}" in
  "") ;;
  down) down; exit 0 ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

[[ "$JOURNAL" == embedded || "$JOURNAL" == kafka ]] || die "JOURNAL is embedded or kafka, not $JOURNAL"
STARTED="$(date +%s%3N)"
if [[ "$SOURCE" == runtime ]] && ! need_spec; then
  say "demo: without the chain spec the Acurast runtime can't run here; its blocks come from a recording"
  SOURCE=recording
fi
need_programs
[[ "$JOURNAL" == kafka ]] && need_broker

finish() {
  local code=$?
  trap - EXIT INT TERM
  end_child
  if [[ "$KEEP" == 1 && "$code" -lt 128 ]]; then
    say "demo: left up; stop it with: ${DEMO_DIR:+DEMO_DIR=$DEMO_DIR }$0 down"
  else
    down > /dev/null || say "demo: could not stop everything; see $0 down"
  fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

[[ -d "$DIR" ]] && down > /dev/null
if [[ "$SOURCE" == recording ]]; then
  JOBS=22 SEED=1 WORKLOAD="$RECORDED"
  say "demo: $JOBS recorded jobs"
  prepare_recorded
else
  WORKLOAD="$DEPLOY/devnet"
  say "demo: $JOBS jobs, seed $SEED"
  prepare --lanes "$LANES"
fi
[[ "$JOURNAL" == kafka ]] && prepare_broker
code=0
run "$RELAYER" demo --dir "$DIR" --devnet "$WORKLOAD" || code=$?
# Counted by programs that share nothing with the relayer: effects and money from the chains, records by a second reader.
"$RELAYER" journal tail --raw --config "$DIR/relayer.toml" > "$DIR/journal.ndjson"
run node "$DEPLOY/demo/observe.mjs" --dir "$DIR" --source "$SOURCE" --kept "$JOURNAL" --started "$STARTED" --seed "$SEED" || code=$?
[[ "$KEEP" == 1 ]] && keep
further
[[ "$SOURCE" == recording ]] || say "demo: seed $SEED; SEED=$SEED make demo runs the same jobs"
exit "$code"

#!/usr/bin/env bash
# Three replicas on three Kafka brokers settle the jobs of many owners while replicas and brokers are killed, paused, restarted and poisoned.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=demo/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo/lib.sh"
# shellcheck source-path=SCRIPTDIR source=demo/kafka.sh
source "$DEPLOY/demo/kafka.sh"

DIR="${CHAOS_DIR:-$ROOT/target/chaos-kafka}"
JOBS="${JOBS:-5000}"
OWNERS="${OWNERS:-200}"
WAVE="${WAVE:-125}"
WAVE_S="${WAVE_S:-12}"
LANES="${LANES:-3}"
SEED="${SEED:-$((RANDOM * 32768 + RANDOM))}"
CHECKPOINT_MS="${CHECKPOINT_MS:-15000}"
LIMIT_S="${LIMIT_S:-2700}"
FAULTS="${FAULTS:-1}"
# shellcheck disable=SC2016 # for the shell that runs it
INGEST_RATIO="${INGEST_RATIO:-"\$RELAYER" measure ingest --json --config "\$CONFIG"}"

case "${1:-}" in
  "") ;;
  --help | -h)
    cat <<TEXT
chaos-kafka.sh
Three replicas of the relayer on three brokers settle JOBS (5000, at least that) jobs of OWNERS (200, at least that) owners, WAVE (125) at once
and each wave in no less than WAVE_S (12) seconds, over LANES (3) lanes. Meanwhile, drawn from SEED (a new one each time), replicas are killed,
paused past their lease, restarted in turn and in a storm, and lose their volume; brokers are killed, paused, two at once too; leaders
move, and every topic that a relayer reads gets records that are none. It takes at most LIMIT_S (2700) seconds and writes
target/reports/chaos-kafka.json. What it leaves in CHAOS_DIR (target/chaos-kafka): journal, states, checkpoints, logs, manifest.
CHECKPOINT_MS (15000) lie between checkpoints outside of the replicas' volumes; 0 takes none, and who loses its volume folds anew.
FAULTS=0 disturbs nothing, to see how fast the rest is; such a run never holds.
INGEST_RATIO is the command that measures the figure of that name ("\$RELAYER" measure ingest), printing {"ingest_ratio": number} last.
Also: RELAYER (the binary), ACURAST_PORT, ANVIL_PORT, KAFKA_PORT, API_PORTS (free ones), and what devnet.sh --help lists.
TEXT
    exit 0
    ;;
  *) echo "chaos-kafka.sh takes no arguments; see --help" >&2; exit 2 ;;
esac

say "chaos-kafka: $JOBS jobs of $OWNERS owners, seed $SEED"
need_spec || die "chaos-kafka: it needs the real Acurast runtime, and without the chain spec there is none; set ACURAST_CHAIN_SPEC=FILE"
need_programs
need_broker

finish() {
  local code=$?
  trap - EXIT INT TERM
  end_child
  broker_down || say "chaos-kafka: could not stop the brokers; see KAFKA_HOME=$DIR/kafka deploy/kafka/kafka.sh stop"
  devnet down > /dev/null || say "chaos-kafka: could not stop the devnet; see ACURAST_DEVNET_DIR=$DIR deploy/devnet/devnet.sh down"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

broker_down
prepare --owners "$OWNERS" --wave "$WAVE" --lanes "$LANES" --attesters 3
start_brokers 3
API_PORTS="${API_PORTS:-$(node "$DEPLOY/demo/ports.mjs" 3 | tr ' ' ,)}"
run node "$DEPLOY/chaos/kafka.mjs" --dir "$DIR" --relayer "$RELAYER" --acurast "ws://127.0.0.1:$ACURAST_PORT" --anvil "http://127.0.0.1:$ANVIL_PORT" \
  --brokers "$BROKERS" --kafka-home "$DIR/kafka" --kafka-port "$KAFKA_PORT" --apis "$API_PORTS" --seed "$SEED" --wave-s "$WAVE_S" --limit-s "$LIMIT_S" \
  --checkpoint-ms "$CHECKPOINT_MS" --faults "$FAULTS" --ingest-ratio "$INGEST_RATIO"

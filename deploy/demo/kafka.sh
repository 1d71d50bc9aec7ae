# shellcheck shell=bash
# What demo.sh does when Kafka keeps the journal: one real broker in DIR, its topics, and the relayer's configuration for it. Sourced by it.

broker() { KAFKA_HOME="$DIR/kafka" KAFKA_PORT="${KAFKA_PORT:-19092}" "$DEPLOY/kafka/kafka.sh" "$@"; }

need_broker() {
  "$DEPLOY/kafka/kafka.sh" ready 2> /dev/null || "$DEPLOY/setup.sh" --kafka
}

# The broker's port and its controller's, one after the other.
choose_broker_ports() {
  local port
  for port in $(node "$DEPLOY/demo/ports.mjs" 16); do
    # Nobody listens on the next one either.
    (exec 3<> "/dev/tcp/127.0.0.1/$((port + 1))") 2> /dev/null || { export KAFKA_PORT="$port"; return; }
  done
  die "no two free ports in a row for a Kafka broker; set KAFKA_PORT"
}

# A broker with the relayer's topics, and a configuration that names it. BROKERS is its address afterwards.
prepare_broker() {
  [[ -n "${KAFKA_PORT:-}" ]] || choose_broker_ports
  BROKERS="$(broker start 1)"
  cat >> "$DIR/relayer.toml" <<TEXT

[journal]
kind = "kafka"

[journal.kafka]
brokers = ["$BROKERS"]

[journal.kafka.topics]
replication = 1
min_in_sync = 1
TEXT
  run "$RELAYER" topics apply --config "$DIR/relayer.toml" > "$DIR/topics.txt" || die "the topics could not be made; see $DIR/topics.txt"
}

broker_down() {
  [[ -d "$DIR/kafka" ]] && broker stop
  return 0
}

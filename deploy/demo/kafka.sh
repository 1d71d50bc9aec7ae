# shellcheck shell=bash
# What demo.sh and chaos-kafka.sh do when Kafka keeps the journal: real brokers in DIR; for the demo also their topics and the relayer's
# configuration for them. Sourced by both.

broker() { KAFKA_HOME="$DIR/kafka" KAFKA_PORT="${KAFKA_PORT:-19092}" "$DEPLOY/kafka/kafka.sh" "$@"; }

need_broker() {
  "$DEPLOY/kafka/kafka.sh" ready 2> /dev/null || "$DEPLOY/setup.sh" --kafka
}

# Each broker's port and its controller's, one after the other.
choose_broker_ports() { # BROKERS
  local port next
  for port in $(node "$DEPLOY/demo/ports.mjs" 16); do
    # Nobody listens on those after it either.
    for ((next = port + 1; next < port + 2 * $1; next++)); do
      if (exec 3<> "/dev/tcp/127.0.0.1/$next") 2> /dev/null; then continue 2; fi
    done
    export KAFKA_PORT="$port"
    return
  done
  die "no $((2 * $1)) free ports in a row for Kafka; set KAFKA_PORT"
}

# So many brokers (1 or 3). BROKERS has their addresses afterwards.
start_brokers() {
  [[ -n "${KAFKA_PORT:-}" ]] || choose_broker_ports "$1"
  BROKERS="$(broker start "$1")"
}

# A broker with the relayer's topics, and a configuration that names it. BROKERS is its address afterwards.
prepare_broker() {
  start_brokers 1
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

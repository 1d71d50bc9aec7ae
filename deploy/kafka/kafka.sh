#!/usr/bin/env bash
# A real Apache Kafka (KRaft, each node broker and controller) on loopback, for the devnet and the fault tests.
#
#   kafka.sh fetch                 download the jars once (Maven, about 44 MB)
#   kafka.sh start [N]             N brokers (1 or 3); prints the bootstrap list once all are up
#   kafka.sh hold [N]              as start, then waits until its standard input ends, kills all and deletes the data
#   kafka.sh stop                  stop all, orderly
#   kafka.sh kill|pause|resume|revive ID   kill -9, SIGSTOP, SIGCONT or restart one broker
#   kafka.sh wipe                  stop and delete the data
#   kafka.sh ready                 whether Java and the jars are there
#
# Environment: KAFKA_HOME (./target/kafka) holds configuration, data and logs; KAFKA_LIBS (~/.cache/acurast-relayer/kafka) the jars;
# KAFKA_PORT (19092) is the first port: broker i listens on KAFKA_PORT + 2(i-1), its controller on the next one; KAFKA_HEAP (384m) is the
# heap of each broker; KAFKA_PROPERTIES has further lines for server.properties, in which @PORT@ and @CONTROLLER@ are the broker's ports;
# KAFKA_READY_SECONDS (120) is the most that a broker may take to start;
# KAFKA_FORMAT has further arguments of the storage tool, such as users (--add-scram).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${KAFKA_HOME:-$PWD/target/kafka}
libs=${KAFKA_LIBS:-${ACURAST_CACHE_DIR:-$HOME/.cache/acurast-relayer}/kafka}
heap=${KAFKA_HEAP:-384m}
base=${KAFKA_PORT:-19092}
properties=${KAFKA_PROPERTIES:-}
ready_s=${KAFKA_READY_SECONDS:-120}
cluster=AcurastDevnetKafka0001

die() { echo "kafka: $*" >&2; exit 1; }
port() { echo $((base + ($1 - 1) * 2)); }
wanted() { sha256sum < "$here/pom.xml" | cut -d' ' -f1; }
complete() { [[ -f "$libs/.complete" && "$(< "$libs/.complete")" == "$(wanted)" ]]; }

java_is_there() {
  local version
  version=$(java -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -1)
  ((${version:-0} >= 17))
}

ready() {
  java_is_there || die "Java 17 or newer is missing; apt-get install openjdk-17-jre-headless"
  complete || die "the jars are not in $libs; run deploy/setup.sh --kafka"
}

fetch() {
  complete && return
  java_is_there || die "Java 17 or newer is missing; apt-get install openjdk-17-jre-headless"
  command -v mvn > /dev/null || die "Maven is missing; apt-get install maven"
  # Beside the place and then moved there, so that an interrupted download is never taken for a whole one.
  local beside="$libs.new.$$"
  mkdir -p "$beside"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$beside" >&2 \
    || die "Maven could not fetch the jars; is its registry reachable?"
  wanted > "$beside/.complete"
  rm -rf "$libs"
  mv "$beside" "$libs"
}

configure() { # ID COUNT
  local id=$1 count=$2 replicas=1 isr=1 voters="" i client controller
  client=$(port "$id")
  controller=$((client + 1))
  local own=${properties//@PORT@/$client}
  own=${own//@CONTROLLER@/$controller}
  ((count >= 3)) && { replicas=3; isr=2; }
  for ((i = 1; i <= count; i++)); do voters+="${voters:+,}$i@127.0.0.1:$(($(port "$i") + 1))"; done
  mkdir -p "$home/node-$id"
  cat > "$home/node-$id/server.properties" << PROPERTIES
process.roles=broker,controller
node.id=$id
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$client
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
log.dirs=$home/node-$id/data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$isr
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$isr
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
$own
PROPERTIES
  cat > "$home/node-$id/log4j2.yaml" << 'LOGGING'
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: { pattern: "[%d] %p %m (%c)%n" }
  Loggers:
    Root: { level: INFO, AppenderRef: [ { ref: STDOUT } ] }
LOGGING
  [[ -d "$home/node-$id/data" ]] || java -XX:TieredStopAtLevel=1 -cp "$libs/*" -Dlog4j2.configurationFile="$home/node-$id/log4j2.yaml" \
    kafka.tools.StorageTool format -t "$cluster" -c "$home/node-$id/server.properties" ${KAFKA_FORMAT:-} > "$home/node-$id/format.log" 2>&1 \
    || die "broker $id could not be formatted; see $home/node-$id/format.log"
}

launch() { # ID
  # Without the second compiler: brokers here live for minutes, and on two cores it takes longer than it ever gives back.
  nohup java -Xmx"$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$libs/*" -Dlog4j2.configurationFile="$home/node-$1/log4j2.yaml" \
    kafka.Kafka "$home/node-$1/server.properties" >> "$home/node-$1/broker.log" 2>&1 < /dev/null &
  echo $! > "$home/node-$1/pid"
  disown
}

await() { # ID FIRST-LINE
  for _ in $(seq 1 $((ready_s * 4))); do
    kill -0 "$(< "$home/node-$1/pid")" 2> /dev/null || { tail -5 "$home/node-$1/broker.log" >&2; die "broker $1 ended"; }
    grep -q 'Kafka Server started' <(tail -n +"$2" "$home/node-$1/broker.log") && return
    sleep 0.25
  done
  die "broker $1 did not start in $ready_s s; see $home/node-$1/broker.log"
}

start() { # COUNT
  [[ "$1" == 1 || "$1" == 3 ]] || die "1 or 3 brokers, not $1"
  complete || fetch
  local i
  declare -A from
  for ((i = 1; i <= $1; i++)); do configure "$i" "$1" & done
  wait
  for ((i = 1; i <= $1; i++)); do
    [[ -d "$home/node-$i/data" ]] || die "broker $i could not be formatted; see $home/node-$i/format.log"
    from[$i]=$(lines "$i")
    launch "$i"
  done
  for ((i = 1; i <= $1; i++)); do await "$i" "${from[$i]}"; done
  for ((i = 1; i <= $1; i++)); do printf '127.0.0.1:%s\n' "$(port "$i")"; done | paste -sd,
}

lines() { if [[ -f "$home/node-$1/broker.log" ]]; then echo $(($(wc -l < "$home/node-$1/broker.log") + 1)); else echo 1; fi; }
signal() { kill "-$1" "$(< "$home/node-$2/pid")"; }
each() { for d in "$home"/node-*/; do [[ -d "$d" ]] && "$@" "$(basename "$d" | cut -d- -f2)"; done; }
term_one() { kill "$(cat "$home/node-$1/pid" 2> /dev/null)" 2> /dev/null || true; }
kill_one() { kill -9 "$(cat "$home/node-$1/pid" 2> /dev/null)" 2> /dev/null || true; }
gone_one() { # waits 10 s: the last controllers of a quorum cannot leave in order
  local pid
  pid=$(cat "$home/node-$1/pid" 2> /dev/null) || return 0
  for _ in $(seq 1 40); do kill -0 "$pid" 2> /dev/null || return 0; sleep 0.25; done
  kill -9 "$pid" 2> /dev/null || true
}
stop_all() { each term_one; each gone_one; }
drop_all() { each kill_one; each gone_one; rm -rf "$home"/node-*; rmdir "$home" 2> /dev/null || true; }

case "${1:-}" in
  fetch) fetch ;;
  ready) ready ;;
  start) start "${2:-1}" ;;
  hold)
    trap drop_all EXIT
    start "${2:-1}"
    # Whoever holds the other end of the pipe may die in any way: the brokers go with it.
    cat > /dev/null
    ;;
  stop) stop_all ;;
  kill) signal KILL "$2" ;;
  pause) signal STOP "$2" ;;
  resume) signal CONT "$2" ;;
  revive) from=$(lines "$2"); launch "$2"; await "$2" "$from" ;;
  wipe) stop_all; rm -rf "$home"/node-* ;;
  *) sed -n '2,16p' "$0"; exit 2 ;;
esac

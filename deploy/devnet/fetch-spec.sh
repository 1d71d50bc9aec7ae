#!/usr/bin/env bash
# Finds the chain spec of Acurast mainnet, checks it, and prints its path. The spec is in the public domain and isn't committed here.
# Order: $ACURAST_CHAIN_SPEC; ../shared/acurast/chain-spec beside the repository; the cache; a download into the cache.
set -euo pipefail

NAME=acurast-mainnet-parachain-3396-raw.json
SHA256=6b91dd3bd6097d29cb79913d404853b3200f5b9f97499c812aad522966817476
URL="https://raw.githubusercontent.com/Acurast/acurast-substrate/develop/chain-specs/$NAME"
CACHE="${ACURAST_CACHE_DIR:-$HOME/.cache/acurast-relayer}"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

usage() {
  cat <<TEXT
fetch-spec.sh [--no-download]
Prints the path of the Acurast chain spec whose sha256 is
$SHA256
It is taken from \$ACURAST_CHAIN_SPEC, from ../shared/acurast/chain-spec/$NAME,
from $CACHE/$NAME, or downloaded there (ACURAST_SPEC_URL overrides the address).
TEXT
}

download=yes
case "${1:-}" in
  "") ;;
  --no-download) download=no ;;
  --help | -h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

sha_of() { sha256sum "$1" | cut -d' ' -f1; }
accept() {
  local sha
  sha="$(sha_of "$1")"
  if [[ "$sha" != "$SHA256" ]]; then
    echo "fetch-spec: $1 has sha256 $sha, expected $SHA256" >&2
    return 1
  fi
  echo "fetch-spec: sha256 $sha" >&2
  echo "$1"
}

# A spec that was named explicitly is taken or refused, never replaced.
if [[ -n "${ACURAST_CHAIN_SPEC:-}" ]]; then
  [[ -f "$ACURAST_CHAIN_SPEC" ]] || { echo "fetch-spec: ACURAST_CHAIN_SPEC=$ACURAST_CHAIN_SPEC is not a file" >&2; exit 1; }
  accept "$ACURAST_CHAIN_SPEC"
  exit
fi
for candidate in "$ROOT/../shared/acurast/chain-spec/$NAME" "$CACHE/$NAME"; do
  if [[ -f "$candidate" ]] && accept "$(realpath "$candidate")"; then exit 0; fi
done
if [[ "$download" == no ]]; then
  echo "fetch-spec: no chain spec here; set ACURAST_CHAIN_SPEC=FILE, or run deploy/devnet/fetch-spec.sh with network access" >&2
  exit 1
fi
mkdir -p "$CACHE"
part="$(mktemp "$CACHE/$NAME.XXXXXX")"
trap 'rm -f "$part"' EXIT
if ! curl --fail --silent --show-error --location --proto '=https' --connect-timeout 10 --max-time 300 --output "$part" "${ACURAST_SPEC_URL:-$URL}"; then
  echo "fetch-spec: could not download ${ACURAST_SPEC_URL:-$URL}; get $NAME from Acurast/acurast-substrate (chain-specs/) and set ACURAST_CHAIN_SPEC=FILE" >&2
  exit 1
fi
accept "$part" > /dev/null
mv "$part" "$CACHE/$NAME"
echo "$CACHE/$NAME"

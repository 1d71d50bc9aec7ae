#!/usr/bin/env bash
# cargo fmt, clippy, cargo-deny and cargo-audit. The last two need the RustSec database: `$ADVISORY_DB`, or `../shared/advisory-db`;
# without one they say so and check everything but advisories.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/acurast-relayer/target}"
tools="${ACURAST_CACHE_DIR:-$HOME/.cache/acurast-relayer}/audit-tools"
export PATH="$tools/bin:$PATH"

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings

cargo fetch --locked --quiet
database="${ADVISORY_DB:-../shared/advisory-db}"
if [ -d "$database" ]; then
  # cargo-deny wants the database as a git checkout in a folder of this name.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  checkout="$work/advisory-db-3157b0e258782691"
  cp -r "$database" "$checkout"
  chmod -R u+w "$checkout"
  git -C "$checkout" init --quiet
  git -C "$checkout" add --all
  git -C "$checkout" -c user.name=lint -c user.email=lint@localhost commit --quiet --message database
  touch "$checkout/.git/FETCH_HEAD"
  sed "s|^\[advisories\]|[advisories]\ndb-path = \"$work\"|" deny.toml > "$work/deny.toml"
  cargo-deny --offline --config "$work/deny.toml" check
  # It reads the whole lock file, also what no target builds: vulnerabilities fail it; what is built is cargo-deny's to judge.
  cargo-audit audit --no-fetch --stale --db "$checkout"
else
  echo "ADVISORIES NOT CHECKED: no RustSec database at $database; set ADVISORY_DB to a clone of it" >&2
  cargo-deny --offline check bans licenses sources
fi

# shellcheck shell=bash
# What demo.sh does where the Acurast runtime can't run: its jobs from a recording (devnet/recorded), everything else as ever. Sourced by it.

RECORDED="$DEPLOY/devnet/recorded"

# An EVM node in DIR with the recording's world on it, and the relayer's configuration for the recording.
prepare_recorded() {
  fresh_directory
  choose_ports
  # The EVM's clock goes on where the recording begins.
  ACURAST_CLOCK_MS="$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).clock_ms' "$RECORDED/world.json")" devnet up anvil
  gunzip --stdout "$RECORDED/demo.jsonl.gz" > "$DIR/demo.jsonl"
  run node "$RECORDED/workload.mjs" setup --out "$DIR"
  local config
  config="$(node "$DEPLOY/demo/config.mjs" --world "$DIR/world.json" --out "$DIR" --api "127.0.0.1:$API_PORT")"
  # No node, but its recording, of which the workload releases one block after the other.
  sed -i "s|^url = \"ws:.*|recording = \"${config%/*}/demo.jsonl\"\npace = \"${config%/*}/height\"|" "$config"
}

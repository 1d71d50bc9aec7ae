//! The command line.
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// Printed by `--help`.
pub const USAGE: &str = "acurast-devnode --spec FILE [options]

Runs the genesis runtime of a raw Acurast chain spec and serves JSON-RPC over WebSocket on 127.0.0.1.
Blocks are mined on request (dev_newBlock); SIGTERM or SIGINT stops the node.

  --spec FILE         raw chain spec (required)
  --port N            port to serve on (9944; 0 takes a free one, which is printed)
  --finality-lag N    blocks between the head and the finalized block (0)
  --clock-ms N        time to start from, ms since the Unix epoch (the machine's clock)
  --help              this text

Beside the usual chain_*, state_*, system_* and author_submitExtrinsic:
  dev_newBlock {transactions?: [hex], count?: n}   mines blocks of 6 s; without transactions it takes the pool's
  dev_setStorage [[key, value | null], ...]        overwrites storage of the head, whose hash stays the same
  dev_setHead number | -n | hash                   moves the head, also behind the finalized block
  dev_timeTravel ms                                sets the clock; the next block is 6 s later";

/// What the node was asked to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// Raw chain spec.
    pub spec: PathBuf,
    /// Port on the loopback interface; 0 takes a free one.
    pub port: u16,
    /// Blocks between head and finalized block.
    pub finality_lag: u64,
    /// First clock, ms since the Unix epoch; `None` takes the machine's.
    pub clock_ms: Option<u64>,
}

/// Reads the arguments; `None` when help was asked for.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Args>> {
    let mut args = args.into_iter();
    let (mut spec, mut port, mut finality_lag, mut clock_ms) = (None, 9944, 0, None);
    while let Some(name) = args.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        let mut value = || args.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--spec" => spec = Some(PathBuf::from(value()?)),
            "--port" => port = number(&name, &value()?)?,
            "--finality-lag" => finality_lag = number(&name, &value()?)?,
            "--clock-ms" => clock_ms = Some(number(&name, &value()?)?),
            _ => bail!("unknown argument {name}; see --help"),
        }
    }
    Ok(Some(Args { spec: spec.context("--spec is required; see --help")?, port, finality_lag, clock_ms }))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T> {
    text.parse().ok().with_context(|| format!("{name}: {text} is not a number it takes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Args>> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn every_argument_is_named_and_only_the_spec_is_required() {
        let given = read("--spec a.json --port 0 --finality-lag 2 --clock-ms 1700000000000").ok().flatten();
        assert_eq!(given, Some(Args { spec: "a.json".into(), port: 0, finality_lag: 2, clock_ms: Some(1_700_000_000_000) }));
        let least = read("--spec a.json").ok().flatten();
        assert_eq!(least, Some(Args { spec: "a.json".into(), port: 9944, finality_lag: 0, clock_ms: None }));
        assert!(matches!(read("--spec a.json --help"), Ok(None)));
    }

    #[test]
    fn unknown_missing_and_malformed_arguments_are_refused() {
        for line in ["", "--port 1", "--spec", "--spec a --port 70000", "--spec a --wat 1", "a.json"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}

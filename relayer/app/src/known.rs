//! What was learned of each destination's contract, kept in the data directory so that a later start doesn't wait for a
//! chain that can't be reached. Never trusted further than that: the chain is compared with it as soon as it answers.

use acurast_adapter_evm::KnownContract;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The form of the file; another one is of another version of this program.
const FORMAT: u32 = 1;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// It can't be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// It is damaged, or of another version.
    #[error("{path}: {reason}; remove it and start while the chain can be reached")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownFile {
    format: u32,
    contract: KnownContract,
}

/// What is known; nothing before the chain was reached for the first time.
///
/// # Errors
/// When there is a file that can't be read.
pub fn read(path: &Path) -> Result<Option<KnownContract>, KnownError> {
    let damaged = |reason: String| KnownError::Damaged { path: path.to_owned(), reason };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(KnownError::Io { path: path.to_owned(), reason }),
    };
    let file: KnownFile = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if file.format == FORMAT { Ok(Some(file.contract)) } else { Err(damaged(format!("its format is {}, this is {FORMAT}", file.format))) }
}

/// Keeps what was learned: whole, or as it was before.
///
/// # Errors
/// When it can't be written.
pub fn write(path: &Path, contract: &KnownContract) -> Result<(), KnownError> {
    let io = |reason| KnownError::Io { path: path.to_owned(), reason };
    let file = KnownFile { format: FORMAT, contract: contract.clone() };
    let text = serde_json::to_vec_pretty(&file).map_err(|error| io(error.into()))?;
    let beside = path.with_extension("json.new");
    let mut out = std::fs::File::create(&beside).map_err(io)?;
    out.write_all(&text).and_then(|()| out.sync_all()).map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use acurast_events::bytes::{EvmAddress, Genesis};
    use acurast_events::units::Gas;

    #[test]
    fn what_was_learned_is_known_at_the_next_start_and_a_damaged_file_is_told_from_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("destination-1-42.json");
        assert_eq!(read(&path).unwrap(), None);
        let contract = KnownContract {
            genesis: Genesis([1; 32]),
            version: "1.0.0".into(),
            needed: 1,
            attesters: vec![EvmAddress([2; 20])],
            block_gas: Gas(30_000_000),
        };
        write(&path, &contract).unwrap();
        assert_eq!(read(&path).unwrap(), Some(contract));
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [text[..text.len() - 4].to_owned(), text.replace("\"format\": 1", "\"format\": 2"), String::new()] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(read(&path), Err(KnownError::Damaged { .. })));
        }
    }
}

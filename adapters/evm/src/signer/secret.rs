//! A secret by reference: a file or an environment variable. The secret itself is in no config, log or `Debug`.

use super::SignerError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a secret is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretReference {
    /// In a file that only the relayer's user should be able to read.
    File(PathBuf),
    /// In an environment variable of this name.
    Env(String),
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Longest file that is read for a secret; certificates with their keys are the longest.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A secret that others on this host can read is theirs as well.
#[cfg(unix)]
fn warn_if_shared(path: &std::path::Path, metadata: &std::fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "other users of this host may read this secret; set the file's mode to 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &std::path::Path, _: &std::fs::Metadata) {}

impl SecretReference {
    /// The secret, without line ends after it; wiped from memory when dropped.
    ///
    /// # Errors
    /// `Missing` when there is nothing to read, or it is too long for a secret or no text.
    pub fn read(&self) -> Result<Zeroizing<String>, SignerError> {
        let missing = |reason: String| SignerError::Missing { reference: self.clone(), reason };
        let mut text = match self {
            Self::File(path) => {
                let file = std::fs::File::open(path).map_err(|error| missing(error.to_string()))?;
                let metadata = file.metadata().map_err(|error| missing(error.to_string()))?;
                warn_if_shared(path, &metadata);
                if metadata.len() > SECRET_BYTES_MAX {
                    return Err(missing(format!("longer than {SECRET_BYTES_MAX} bytes")));
                }
                // As long as it is from the start: a string that grows leaves copies behind.
                let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1)));
                file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(|error| missing(error.to_string()))?;
                text
            }
            Self::Env(name) => Zeroizing::new(std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => missing("it is not set".into()),
                // Its own words would repeat the value.
                std::env::VarError::NotUnicode(_) => missing("it is no text".into()),
            })?),
        };
        let length = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(length);
        if text.is_empty() { Err(missing("it is empty".into())) } else { Ok(text) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_secret_is_read_without_the_line_end_that_editors_add() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, " pass word \r\n").unwrap();
        assert_eq!(SecretReference::File(file.path().into()).read().unwrap().as_str(), " pass word ");
    }

    #[test]
    fn nothing_too_much_and_no_text_are_refused_without_being_repeated() {
        let error = SecretReference::Env("ACURAST_NO_SUCH_SECRET".into()).read().unwrap_err().to_string();
        assert!(error.contains("ACURAST_NO_SUCH_SECRET"), "{error}");
        for bytes in [Vec::new(), b"\n".to_vec(), vec![b'7'; 70_000], vec![0xff, b'7', b'7', b'7']] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            let error = SecretReference::File(file.path().into()).read().unwrap_err().to_string();
            assert!(error.starts_with("no secret in file") && !error.contains("777"), "{error}");
        }
    }
}

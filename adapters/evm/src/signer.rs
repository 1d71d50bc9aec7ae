//! Signing with a key of this host, given by reference: a file or an environment variable. The key is in no config, log or `Debug`.

use acurast_events::bytes::EvmAddress;
use alloy::primitives::{B256, Signature};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use zeroize::{Zeroize, Zeroizing};

/// Where a key is found: 32 bytes in hexadecimal digits, with or without `0x`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyReference {
    /// In a file that only the relayer's user should be able to read.
    File(PathBuf),
    /// In an environment variable of this name.
    Env(String),
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// Why there is no key, or no signature. Never says anything of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Nothing there to read.
    #[error("no key in {reference}: {reason}")]
    Missing {
        /// The reference.
        reference: KeyReference,
        /// What happened.
        reason: String,
    },
    /// Something else than a key.
    #[error("{reference} holds no secp256k1 key: expected 64 hexadecimal digits")]
    Malformed {
        /// The reference.
        reference: KeyReference,
    },
    /// The key did not sign.
    #[error("signing with {address} failed")]
    Signing {
        /// The key's address.
        address: EvmAddress,
    },
}

/// A secp256k1 key in this process.
pub struct LocalKey {
    key: PrivateKeySigner,
    address: EvmAddress,
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Longest file that is read for a key.
const KEY_FILE_BYTES_MAX: u64 = 4096;

/// A key that others on this host can read is theirs as well.
#[cfg(unix)]
fn warn_if_shared(path: &std::path::Path, metadata: &std::fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "other users of this host may read the key file; set its mode to 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &std::path::Path, _: &std::fs::Metadata) {}

impl LocalKey {
    /// Reads the key that `reference` names; what was read is wiped from memory.
    ///
    /// # Errors
    /// When there is nothing, or no key.
    pub fn load(reference: &KeyReference) -> Result<Self, SignerError> {
        let missing = |reason: String| SignerError::Missing { reference: reference.clone(), reason };
        let text = Zeroizing::new(match reference {
            KeyReference::File(path) => {
                let metadata = std::fs::metadata(path).map_err(|error| missing(error.to_string()))?;
                warn_if_shared(path, &metadata);
                if metadata.len() > KEY_FILE_BYTES_MAX {
                    return Err(SignerError::Malformed { reference: reference.clone() });
                }
                std::fs::read_to_string(path).map_err(|error| missing(error.to_string()))?
            }
            KeyReference::Env(name) => std::env::var(name).map_err(|error| missing(error.to_string()))?,
        });
        Self::from_hex(&text).ok_or_else(|| SignerError::Malformed { reference: reference.clone() })
    }

    /// The key of these hexadecimal digits; nothing when they are none.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim();
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), bytes.as_mut()).ok()?;
        let mut secret = B256::from(*bytes);
        let key = PrivateKeySigner::from_bytes(&secret).ok();
        secret.0.zeroize();
        let key = key?;
        let address = EvmAddress(key.address().into_array());
        Some(Self { key, address })
    }

    /// The key's address.
    pub fn address(&self) -> EvmAddress {
        self.address
    }

    /// Signs a 32-byte digest; the same digest gives the same signature (RFC 6979), with low s.
    ///
    /// # Errors
    /// When the curve operation fails, which no digest is known to cause.
    pub fn sign(&self, digest: &[u8; 32]) -> Result<Signature, SignerError> {
        self.key.sign_hash_sync(&B256::from(*digest)).map_err(|_| SignerError::Signing { address: self.address })
    }

    /// Signs as contracts want it: r ‖ s ‖ v, 65 bytes, v 27 or 28.
    ///
    /// # Errors
    /// See [`Self::sign`].
    pub fn sign_rsv(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
        self.sign(digest).map(|signature| signature.as_bytes().to_vec())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::io::Write;

    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_key_is_read_from_a_file_and_never_shown() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "0x{KEY}").unwrap();
        let key = LocalKey::load(&KeyReference::File(file.path().into())).unwrap();
        assert_eq!(key.address().to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        assert!(!format!("{key:?}").contains(KEY));
        assert_eq!(LocalKey::from_hex(KEY).unwrap().address(), key.address());
    }

    #[test]
    fn an_error_says_where_the_key_should_be_and_nothing_of_what_is_there() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{KEY}00").unwrap();
        let error = LocalKey::load(&KeyReference::File(file.path().into())).unwrap_err().to_string();
        assert!(error.contains("holds no secp256k1 key") && !error.contains("ac0974"), "{error}");
        let error = LocalKey::load(&KeyReference::Env("ACURAST_NO_SUCH_KEY".into())).unwrap_err().to_string();
        assert!(error.contains("ACURAST_NO_SUCH_KEY"), "{error}");
        assert!(LocalKey::from_hex(&"0".repeat(64)).is_none(), "zero is no key");
    }

    #[test]
    fn the_same_digest_gives_the_same_bytes() {
        let key = LocalKey::from_hex(KEY).unwrap();
        let signature = key.sign_rsv(&[7; 32]).unwrap();
        assert_eq!(signature, key.sign_rsv(&[7; 32]).unwrap());
        assert_eq!(signature.len(), 65);
        assert!(matches!(signature.last(), Some(27 | 28)));
    }
}

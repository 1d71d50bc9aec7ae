//! A secp256k1 key in this process, from hexadecimal digits by reference or from an encrypted keystore.

use super::{MessageSigner, SecretReference, SignerError};
use acurast_events::bytes::EvmAddress;
use acurast_events::ids::keccak;
use alloy::primitives::{B256, Signature};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use async_trait::async_trait;
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

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

impl LocalKey {
    /// Reads the key that `reference` names, 32 bytes in hexadecimal digits, with or without `0x`; what was read is wiped
    /// from memory.
    ///
    /// # Errors
    /// When there is nothing, or no key.
    pub fn load(reference: &SecretReference) -> Result<Self, SignerError> {
        Self::from_hex(&reference.read()?).ok_or_else(|| SignerError::Malformed { reference: reference.clone() })
    }

    /// The key of these hexadecimal digits; nothing when they are none.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim();
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(digits.strip_prefix("0x").unwrap_or(digits), bytes.as_mut()).ok()?;
        Self::from_bytes(&bytes)
    }

    /// The key of this scalar; nothing when it is zero or past the curve's order.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
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
    pub fn sign_digest(&self, digest: &[u8; 32]) -> Result<Signature, SignerError> {
        let refused = |_| SignerError::Refused { signer: self.describe(), reason: "the curve operation failed".into() };
        self.key.sign_hash_sync(&B256::from(*digest)).map_err(refused)
    }

    /// Signs a digest as contracts want it: r ‖ s ‖ v, 65 bytes, v 27 or 28.
    ///
    /// # Errors
    /// See [`Self::sign_digest`].
    pub fn sign_rsv(&self, digest: &[u8; 32]) -> Result<Vec<u8>, SignerError> {
        self.sign_digest(digest).map(|signature| signature.as_bytes().to_vec())
    }
}

#[async_trait]
impl MessageSigner for LocalKey {
    fn address(&self) -> EvmAddress {
        self.address
    }
    fn is_remote(&self) -> bool {
        false
    }
    fn describe(&self) -> String {
        format!("key {} of this process", self.address)
    }
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        self.sign_digest(&keccak(&[message]))
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
        let key = LocalKey::load(&SecretReference::File(file.path().into())).unwrap();
        assert_eq!(key.address().to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        assert!(!format!("{key:?} {}", key.describe()).contains(KEY));
        assert_eq!(LocalKey::from_hex(KEY).unwrap().address(), key.address());
    }

    #[test]
    fn an_error_says_where_the_key_should_be_and_nothing_of_what_is_there() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{KEY}00").unwrap();
        let error = LocalKey::load(&SecretReference::File(file.path().into())).unwrap_err().to_string();
        assert!(error.contains("holds no secp256k1 key") && !error.contains("ac0974"), "{error}");
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

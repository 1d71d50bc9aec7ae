//! Signing, wherever the key is: in this process, behind an HTTP signer, or in a key management service.
//!
//! A key signs *messages*: the digest is always Keccak-256 of what it is given. So a transaction's signing payload
//! (0x02 ‖ rlp) and an EIP-712 message (0x1901 ‖ domain ‖ struct) are signed alike, also by signers that hash themselves.
//! Invariant: no signature leaves [`Signer`] that does not recover to the configured address, with low s. A remote key may
//! answer the same message with another signature each time; whoever sends bytes sends those that were journaled (R1).

mod http;
mod keystore;
#[cfg(feature = "aws-kms")]
mod kms;
mod local;
mod secret;

pub use http::{HttpAuthorization, HttpSigner, HttpSignerConfig};
pub use keystore::Keystore;
#[cfg(feature = "aws-kms")]
pub use kms::{KmsConfig, KmsSigner};
pub use local::LocalKey;
pub use secret::SecretReference;

use crate::rules::recover;
use acurast_adapter_api::LaneError;
use acurast_events::bytes::EvmAddress;
use acurast_events::caip::AccountId;
use acurast_events::ids::keccak;
use alloy::primitives::Signature;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;

/// Why there is no key, or no signature. Never says anything of a key, a password or a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Nothing there to read.
    #[error("no secret in {reference}: {reason}")]
    Missing {
        /// The reference.
        reference: SecretReference,
        /// What happened.
        reason: String,
    },
    /// Something else than a key.
    #[error("{reference} holds no secp256k1 key: expected 64 hexadecimal digits")]
    Malformed {
        /// The reference.
        reference: SecretReference,
    },
    /// The encrypted key can't be had.
    #[error("keystore {}: {reason}", path.display())]
    Keystore {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// What the connection to a remote signer is configured with can't be used.
    #[error("{signer}: {reason}")]
    Config {
        /// The signer, redacted.
        signer: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A remote signer can't be asked now. It may or may not have signed; ask again.
    #[error("{signer}: signer offline: {reason}; nothing new is sent until it answers")]
    Unreachable {
        /// The signer, redacted.
        signer: String,
        /// What happened.
        reason: String,
    },
    /// A remote signer answered that it won't sign, or nothing of use.
    #[error("{signer}: refused: {reason}")]
    Refused {
        /// The signer, redacted.
        signer: String,
        /// What it said and what to do.
        reason: String,
    },
    /// The signature is not one of the configured address over what was to be signed. It is used for nothing.
    #[error("{signer}: its signature is not one of {address} over the message: {reason}; check which key the signer uses")]
    Wrong {
        /// The signer, redacted.
        signer: String,
        /// The configured address.
        address: EvmAddress,
        /// What differs.
        reason: String,
    },
}

impl SignerError {
    /// What it means to a lane: a signer that can't be asked is *unknown*, so the lane waits and asks again; everything else
    /// is for the operator.
    pub fn of_lane(&self, lane: &AccountId) -> LaneError {
        let (lane, reason) = (lane.clone(), self.to_string());
        match self {
            Self::Unreachable { .. } => LaneError::Unknown { lane, reason },
            Self::Missing { .. }
            | Self::Malformed { .. }
            | Self::Keystore { .. }
            | Self::Config { .. }
            | Self::Refused { .. }
            | Self::Wrong { .. } => LaneError::Refused { lane, reason },
        }
    }
}

/// A key that signs messages, wherever it is.
///
/// # Use
/// Through [`Signer`], which checks each signature before anybody sees it.
///
/// # Repetition
/// The same message may be signed any number of times, concurrently as well. Nothing is repeated inside.
#[async_trait]
pub trait MessageSigner: Send + Sync + std::fmt::Debug {
    /// The address that signatures recover to, by configuration for remote keys.
    fn address(&self) -> EvmAddress;
    /// Whether signing leaves this process: what is asked for is then journaled before (R1).
    fn is_remote(&self) -> bool;
    /// What it is, for people; secrets and all of a URL but its host left out.
    fn describe(&self) -> String;
    /// Signs Keccak-256 of `message`.
    ///
    /// # Errors
    /// `Unreachable` when nobody knows whether it signed, another one when it did not.
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

/// A key with its check: whatever signs, what comes out is a signature of the configured address.
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<dyn MessageSigner>,
}

impl Signer {
    /// Signs with this key.
    pub fn new(key: impl MessageSigner + 'static) -> Self {
        Self { key: Arc::new(key) }
    }

    /// The key's address.
    pub fn address(&self) -> EvmAddress {
        self.key.address()
    }

    /// Whether signing leaves this process.
    pub fn is_remote(&self) -> bool {
        self.key.is_remote()
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        self.key.describe()
    }

    /// Signs Keccak-256 of `message` and checks the signature: low s, and of [`Self::address`].
    ///
    /// # Errors
    /// See [`SignerError`]; `Wrong` when another key signed, or something else.
    pub async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let signature = self.key.sign(message).await?;
        let wrong = |reason: String| SignerError::Wrong { signer: self.describe(), address: self.address(), reason };
        match recover(&keccak(&[message]), &signature.as_bytes()) {
            Ok(recovered) if recovered == self.address() => Ok(signature),
            Ok(recovered) => Err(wrong(format!("it is of {recovered}"))),
            Err(refusal) => Err(wrong(refusal.to_string())),
        }
    }

    /// Signs as contracts want it: r ‖ s ‖ v, 65 bytes, v 27 or 28.
    ///
    /// # Errors
    /// See [`Self::sign`].
    pub async fn sign_rsv(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.sign(message).await.map(|signature| signature.as_bytes().to_vec())
    }
}

impl From<LocalKey> for Signer {
    fn from(key: LocalKey) -> Self {
        Self::new(key)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use alloy::primitives::U256;

    type Forge = fn(Signature) -> Signature;

    /// Signs with its key whatever its address is said to be.
    #[derive(Debug)]
    struct Liar {
        address: EvmAddress,
        key: LocalKey,
        forge: Forge,
    }

    #[async_trait]
    impl MessageSigner for Liar {
        fn address(&self) -> EvmAddress {
            self.address
        }
        fn is_remote(&self) -> bool {
            true
        }
        fn describe(&self) -> String {
            "liar".into()
        }
        async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
            self.key.sign_digest(&keccak(&[message])).map(self.forge)
        }
    }

    fn key(byte: u8) -> LocalKey {
        LocalKey::from_hex(&hex::encode([byte; 32])).unwrap()
    }

    const ORDER: U256 = alloy::primitives::uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

    #[tokio::test]
    async fn a_signature_of_another_key_with_high_s_or_of_nonsense_is_refused() {
        let honest = Signer::new(Liar { address: key(1).address(), key: key(1), forge: |signature| signature });
        assert!(honest.sign(b"message").await.is_ok());
        let cases: [(EvmAddress, Forge, &str); 4] = [
            (key(2).address(), |signature| signature, "it is of"),
            (key(1).address(), |signature| signature.with_parity(!signature.v()), "not one of"),
            (key(1).address(), |it| Signature::new(it.r(), ORDER - it.s(), !it.v()), "upper half"),
            (key(1).address(), |it| Signature::new(U256::ZERO, it.s(), it.v()), "not one of"),
        ];
        for (address, forge, reason) in cases {
            let error = Signer::new(Liar { address, key: key(1), forge }).sign(b"message").await.unwrap_err();
            assert!(matches!(error, SignerError::Wrong { .. }) && error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_lane_waits_for_a_signer_that_is_offline_and_stops_at_one_that_refuses() {
        let lane: AccountId = "eip155:1:0x00000000000000000000000000000000000000ab".parse().unwrap();
        let offline = SignerError::Unreachable { signer: "s".into(), reason: "connection refused".into() };
        assert!(matches!(offline.of_lane(&lane), LaneError::Unknown { reason, .. } if reason.contains("signer offline")));
        let refused = SignerError::Refused { signer: "s".into(), reason: "no such key".into() };
        assert!(matches!(refused.of_lane(&lane), LaneError::Refused { .. }));
    }
}

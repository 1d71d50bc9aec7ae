//! From a configured signer to one that signs.

use crate::config::{SignerConfig, SignerKind};
use acurast_adapter_evm::{HttpSigner, LocalKey, Signer, SignerError};

/// Why a configured signer can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SignersError {
    /// The configuration names no signer.
    #[error("signer: {0}")]
    Config(&'static str),
    /// Its key, password or certificate can't be used.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Reads or unlocks a local key, or makes the client of a remote one: nobody else is asked, so that a remote signer that is
/// offline stops no start.
///
/// # Errors
/// See [`SignersError`].
pub async fn open(config: &SignerConfig) -> Result<Signer, SignersError> {
    Ok(match config.kind().map_err(SignersError::Config)? {
        SignerKind::Key(reference) => LocalKey::load(&reference)?.into(),
        SignerKind::Keystore(keystore) => keystore.unlock().await?.into(),
        SignerKind::Http(http) => Signer::new(HttpSigner::new(*http)?),
        #[cfg(feature = "aws-kms")]
        SignerKind::Kms(kms) => Signer::new(acurast_adapter_evm::KmsSigner::new(kms)?),
    })
}

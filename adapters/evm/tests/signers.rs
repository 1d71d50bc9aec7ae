//! Signers over real connections: an HTTP signer with Web3Signer's eth1 interface and real ECDSA behind it, plain and with TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "signers/http.rs"]
mod http;
#[cfg(feature = "aws-kms")]
#[path = "signers/kms.rs"]
mod kms;
#[path = "signers/server.rs"]
mod server;

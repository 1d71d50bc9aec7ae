//! A key behind an HTTP signer that speaks Web3Signer's eth1 interface: `POST /api/v1/eth1/sign/{identifier}` with
//! `{"data": "0x…"}` answers the signature over Keccak-256 of the data.
//!
//! One request, one answer, bounded in time and size, and nothing repeated: a signer that did not answer may have signed,
//! and the lane asks again with the same message. What it says is never repeated in errors: a proxy may echo the token. What it answers is checked by [`Signer`](super::Signer) before any use.

use super::{MessageSigner, SecretReference, SignerError};
use crate::endpoint::reason_of;
use crate::url::EndpointUrl;
use acurast_events::bytes::EvmAddress;
use acurast_events::ids::keccak;
use alloy::primitives::Signature;
use async_trait::async_trait;
use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// A signature has 132 characters; errors of a proxy may be longer.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Some thousands of public keys.
const KEYS_BYTES_MAX: usize = 1 << 20;

/// How the signer knows who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAuthorization {
    /// It doesn't, or by the client's certificate.
    None,
    /// `Authorization: Bearer …`.
    Bearer(SecretReference),
    /// `Authorization: Basic …`.
    Basic {
        /// User.
        user: String,
        /// Password.
        password: SecretReference,
    },
}

/// Where the signer is, and which of its keys is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSignerConfig {
    /// Its address; the path before `/api/v1/eth1/…`, if any.
    pub url: EndpointUrl,
    /// The key's address. A signature of another key is refused.
    pub address: EvmAddress,
    /// What the signer calls the key; nothing: its public key, looked up in the signer's list by the address.
    pub identifier: Option<String>,
    /// How the signer knows who asks.
    pub authorization: HttpAuthorization,
    /// Certificates in PEM that the signer's own has to come from; nothing: those that the host trusts.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its private key, in PEM, in one file.
    pub client_identity: Option<SecretReference>,
    /// A request that takes longer has no answer.
    pub timeout: Duration,
}

enum Authorization {
    None,
    Bearer(Zeroizing<String>),
    Basic { user: String, password: Zeroizing<String> },
}

impl Authorization {
    fn read(configured: &HttpAuthorization) -> Result<Self, SignerError> {
        Ok(match configured {
            HttpAuthorization::None => Self::None,
            HttpAuthorization::Bearer(token) => Self::Bearer(token.read()?),
            HttpAuthorization::Basic { user, password } => Self::Basic { user: user.clone(), password: password.read()? },
        })
    }

    /// The client marks these headers as sensitive, so that no `Debug` shows them.
    fn of(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Bearer(token) => request.bearer_auth(token.as_str()),
            Self::Basic { user, password } => request.basic_auth(user, Some(password.as_str())),
        }
    }
}

/// A key behind an HTTP signer.
pub struct HttpSigner {
    http: reqwest::Client,
    url: EndpointUrl,
    address: EvmAddress,
    identifier: OnceCell<String>,
    authorization: Authorization,
    timeout: Duration,
}

impl std::fmt::Debug for HttpSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSigner").field("url", &self.url).field("address", &self.address).finish_non_exhaustive()
    }
}

fn describe(url: &EndpointUrl, address: &EvmAddress) -> String {
    format!("HTTP signer {url} for {address}")
}

impl HttpSigner {
    /// A client of the signer. Nothing is asked yet: a signer that is offline stops no start.
    ///
    /// # Errors
    /// When a secret or certificate that `config` names can't be used.
    pub fn new(config: HttpSignerConfig) -> Result<Self, SignerError> {
        let wrong = |reason: String| SignerError::Config { signer: describe(&config.url, &config.address), reason };
        // The first provider that a process installs stands; an error says that there is one.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::trace!("TLS provider is installed already");
        }
        let authorization = Authorization::read(&config.authorization)?;
        if let Authorization::Bearer(token) = &authorization
            && HeaderValue::from_str(token).is_err()
        {
            return Err(wrong("the bearer token has characters that no header can have".into()));
        }
        if !matches!(authorization, Authorization::None) && config.url.expose().scheme() == "http" && !is_loopback(&config.url) {
            tracing::warn!(signer = %config.url, "the signer's secret travels unencrypted; use https");
        }
        let mut builder = reqwest::Client::builder().timeout(config.timeout).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(|error| wrong(format!("ca_file {}: {error}", path.display())))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
            builder = builder
                .tls_certs_only(certificates.ok_or_else(|| wrong(format!("ca_file {} holds no certificate in PEM", path.display())))?);
        }
        if let Some(reference) = &config.client_identity {
            let identity = reqwest::Identity::from_pem(reference.read()?.as_bytes());
            builder = builder
                .identity(identity.map_err(|_| wrong(format!("{reference} does not hold a certificate and its private key in PEM")))?);
        }
        let http = builder.build().map_err(|error| wrong(reason_of(&error.without_url())))?;
        let identifier = config.identifier.map_or_else(OnceCell::new, |identifier| OnceCell::new_with(Some(identifier)));
        Ok(Self { http, url: config.url, address: config.address, identifier, authorization, timeout: config.timeout })
    }

    fn refused(&self, reason: impl Into<String>) -> SignerError {
        SignerError::Refused { signer: self.describe(), reason: reason.into() }
    }

    /// The URL of `path` below the configured one, secrets and all: for the HTTP client only.
    fn at(&self, path: &[&str]) -> Result<::url::Url, SignerError> {
        let mut url = self.url.expose().clone();
        url.path_segments_mut().map_err(|()| self.refused("the URL can't have a path"))?.pop_if_empty().extend(path);
        Ok(url)
    }

    /// What the signer calls the key: looked up once, in its list of public keys.
    async fn identifier(&self) -> Result<&str, SignerError> {
        let look_up = || async {
            let body = self.ask(self.http.get(self.at(&["api", "v1", "eth1", "publicKeys"])?), KEYS_BYTES_MAX).await?;
            let keys: Vec<String> =
                serde_json::from_slice(&body).map_err(|_| self.refused("its list of public keys is none; is this a signer?"))?;
            let found = keys.iter().find(|key| address_of(key) == Some(self.address));
            found.cloned().ok_or_else(|| {
                self.refused(format!(
                    "none of its {} keys is of {}; load the key into the signer, or correct the address",
                    keys.len(),
                    self.address
                ))
            })
        };
        self.identifier.get_or_try_init(look_up).await.map(String::as_str)
    }

    /// The body of a successful answer.
    async fn ask(&self, request: RequestBuilder, bytes_max: usize) -> Result<Vec<u8>, SignerError> {
        let unreachable = |reason: String| SignerError::Unreachable { signer: self.describe(), reason };
        let failed = |error: reqwest::Error| {
            unreachable(if error.is_timeout() {
                format!("no answer within {} ms", self.timeout.as_millis())
            } else {
                reason_of(&error.without_url())
            })
        };
        let mut response = self.authorization.of(request).send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > bytes_max {
                return Err(self.refused(format!("its answer is longer than {bytes_max} bytes; is this a signer?")));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND => {
                Err(self.refused("it has no such key (404); load the key into the signer, or correct url, address or identifier"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.refused(format!("it does not let this client sign ({status}); check token, password or client certificate")))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(unreachable(format!("HTTP status {status}")))
            }
            status => Err(self.refused(format!("HTTP status {status}; its log says why"))),
        }
    }
}

#[async_trait]
impl MessageSigner for HttpSigner {
    fn address(&self) -> EvmAddress {
        self.address
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn describe(&self) -> String {
        describe(&self.url, &self.address)
    }
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let url = self.at(&["api", "v1", "eth1", "sign", self.identifier().await?])?;
        let request = self.http.post(url).json(&json!({ "data": format!("0x{}", hex::encode(message)) }));
        let body = self.ask(request, ANSWER_BYTES_MAX).await?;
        read_signature(&body).ok_or_else(|| self.refused("its answer is no signature of 65 bytes; is this a signer for secp256k1 keys?"))
    }
}

/// r ‖ s ‖ v in hexadecimal digits; v counts from 27 or from 0.
fn read_signature(body: &[u8]) -> Option<Signature> {
    let digits = std::str::from_utf8(body).ok()?.trim();
    let mut bytes = [0; 65];
    hex::decode_to_slice(digits.strip_prefix("0x")?, &mut bytes).ok()?;
    let [.., 0 | 1 | 27 | 28] = bytes else { return None };
    Signature::from_raw_array(&bytes).ok()
}

/// The address of an uncompressed public key in hexadecimal digits, with or without `0x` and the leading 04.
fn address_of(public_key: &str) -> Option<EvmAddress> {
    let bytes = hex::decode(public_key.strip_prefix("0x").unwrap_or(public_key)).ok()?;
    let point: &[u8; 64] = match bytes.as_slice() {
        [0x04, point @ ..] if point.len() == 64 => point,
        point => point,
    }
    .try_into()
    .ok()?;
    keccak(&[point]).last_chunk::<20>().copied().map(EvmAddress)
}

fn is_loopback(url: &EndpointUrl) -> bool {
    match url.expose().host() {
        Some(::url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(::url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(::url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

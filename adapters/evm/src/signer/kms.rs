//! A key in the AWS key management service, through alloy's signer.
//!
//! KMS signs a digest with a nonce of its own choice, so the same message gives another signature each time: bytes count
//! only once they are journaled. The SDK's own repetition is off, as nothing is repeated inside a signer. Its requests go
//! through this project's HTTP client: the SDK's own would bring a second TLS provider.

use super::{MessageSigner, SignerError};
use crate::endpoint::reason_of;
use crate::url::EndpointUrl;
use acurast_events::bytes::EvmAddress;
use acurast_events::ids::keccak;
use alloy::primitives::{B256, Signature};
use alloy::signers::aws::{AwsSigner, AwsSignerError};
use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Answers of KMS and of the credential services are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Which key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsConfig {
    /// Key id or ARN. An alias may be given to another key, whose signatures would be refused.
    pub key_id: String,
    /// AWS region.
    pub region: String,
    /// The key's address. A signature of another key is refused.
    pub address: EvmAddress,
    /// Another endpoint than the region's, such as one inside a private network.
    pub endpoint: Option<EndpointUrl>,
    /// A request that takes longer has no answer.
    pub timeout: Duration,
}

/// A key in the AWS key management service. Credentials come as the SDK finds them: environment, profile, web identity,
/// container or instance.
#[derive(Debug)]
pub struct KmsSigner {
    config: KmsConfig,
    http: reqwest::Client,
    key: OnceCell<AwsSigner>,
}

impl KmsSigner {
    /// A client of the key. Nothing is asked yet: a service that is offline stops no start.
    ///
    /// # Errors
    /// When the TLS configuration of the host can't be used.
    pub fn new(config: KmsConfig) -> Result<Self, SignerError> {
        // The first provider that a process installs stands; an error says that there is one.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::trace!("TLS provider is installed already");
        }
        let http = reqwest::Client::builder().timeout(config.timeout).redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|error| SignerError::Config { signer: describe(&config), reason: reason_of(&error.without_url()) })?;
        Ok(Self { config, http, key: OnceCell::new() })
    }

    /// Credentials and public key, asked for once.
    async fn key(&self) -> Result<&AwsSigner, SignerError> {
        let connect = || async {
            let timeout = TimeoutConfig::builder().operation_timeout(self.config.timeout).build();
            let loader = aws_config::defaults(BehaviorVersion::latest())
                .region(Region::new(self.config.region.clone()))
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeout)
                .http_client(Http(self.http.clone()));
            let loader = match &self.config.endpoint {
                Some(endpoint) => loader.endpoint_url(endpoint.expose().as_str()),
                None => loader,
            };
            let client = aws_sdk_kms::Client::new(&loader.load().await);
            let key = AwsSigner::new(client, self.config.key_id.clone(), None).await.map_err(|error| self.failed(error))?;
            let found = EvmAddress(alloy::signers::Signer::address(&key).into_array());
            if found != self.config.address {
                let reason = format!("the key is of {found}; correct the address or the key id");
                return Err(SignerError::Refused { signer: self.describe(), reason });
            }
            Ok(key)
        };
        self.key.get_or_try_init(connect).await
    }

    fn failed(&self, error: AwsSignerError) -> SignerError {
        match error {
            AwsSignerError::Sign(error) => self.refused_or_offline(error),
            AwsSignerError::GetPublicKey(error) => self.refused_or_offline(error),
            other => SignerError::Refused {
                signer: self.describe(),
                reason: format!("{other}; the key has to be ECC_SECG_P256K1 for SIGN_VERIFY"),
            },
        }
    }

    /// An answer of the service refuses, unless the fault is its own or too many asked; anything else is no answer.
    fn refused_or_offline<E>(&self, error: SdkError<E>) -> SignerError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let signer = self.describe();
        match (error.code(), status) {
            (Some(code), Some(status)) if status < 500 && !code.contains("Throttling") => SignerError::Refused {
                signer,
                reason: format!(
                    "{code} (HTTP status {status}); check key id, region, the key's state, and the role's kms:GetPublicKey and kms:Sign"
                ),
            },
            _ => SignerError::Unreachable { signer, reason: DisplayErrorContext(&error).to_string() },
        }
    }
}

fn describe(config: &KmsConfig) -> String {
    format!("AWS KMS key {} in {} for {}", config.key_id, config.region, config.address)
}

#[async_trait]
impl MessageSigner for KmsSigner {
    fn address(&self) -> EvmAddress {
        self.config.address
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn describe(&self) -> String {
        describe(&self.config)
    }
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        let key = self.key().await?;
        let signature = alloy::signers::Signer::sign_hash(key, &B256::from(keccak(&[message]))).await;
        signature.map_err(|error| match error {
            alloy::signers::Error::Other(other) => match other.downcast::<AwsSignerError>() {
                Ok(error) => self.failed(*error),
                Err(other) => SignerError::Unreachable { signer: self.describe(), reason: other.to_string() },
            },
            other => SignerError::Refused { signer: self.describe(), reason: other.to_string() },
        })
    }
}

/// The SDK's requests through this project's HTTP client.
#[derive(Debug, Clone)]
struct Http(reqwest::Client);

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // The SDK's connect and read time-outs are within the client's own, which covers all of a request.
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move { send(http, request).await })
    }
}

async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().ok_or_else(|| ConnectorError::user("a body that is streamed".into()))?.to_vec();
    let url = reqwest::Url::parse(&parts.uri.to_string()).map_err(|_| ConnectorError::user("no URL".into()))?;
    let failed = |error: reqwest::Error| {
        let late = error.is_timeout();
        let reason = reason_of(&error.without_url());
        if late { ConnectorError::timeout(reason.into()) } else { ConnectorError::io(reason.into()) }
    };
    let mut response = http.request(parts.method, url).headers(parts.headers).body(body).send().await.map_err(failed)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(ConnectorError::other(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes").into(), None));
        }
        body.extend_from_slice(&chunk);
    }
    let status = status.as_u16().try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let mut answer = HttpResponse::new(status, SdkBody::from(body));
    for (name, value) in &headers {
        // A header that is no text is none that the SDK reads.
        if let Ok(value) = value.to_str() {
            answer.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(answer)
}

//! One JSON-RPC endpoint over HTTP: bounded in time and size, and exact about what a failure means.
//!
//! Three kinds of failure stay apart (R4): the node could not be reached or did not answer in time, it answered
//! something that makes no sense, or it answered with an error of its own. *Nothing there* is no failure: a `null`
//! result is a value that the caller's type has to allow. An endpoint that talks nonsense, or for another chain, loses
//! its health until a whole view of the chain made sense again; choosing among several endpoints builds on that.
//!
//! The request is made with the HTTP client directly: alloy's transport takes answers of any length, and prints the URL,
//! with the key that it may carry, into spans and errors.

use crate::url::EndpointUrl;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bounds of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimits {
    /// A call that takes longer has no answer.
    pub timeout: Duration,
    /// A longer answer is refused.
    pub answer_bytes_max: usize,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), answer_bytes_max: 32 << 20 }
    }
}

/// Why a call has no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Not reached, cut off, or too late. The request may or may not have had an effect.
    #[error("{endpoint}: {method}: unreachable: {reason}")]
    Unreachable {
        /// The endpoint, redacted.
        endpoint: String,
        /// The method.
        method: &'static str,
        /// What happened.
        reason: String,
    },
    /// The answer makes no sense: not JSON-RPC, of another type, out of range, or contradicting itself.
    #[error("{endpoint}: {method}: senseless answer: {reason}")]
    Malformed {
        /// The endpoint, redacted.
        endpoint: String,
        /// The method.
        method: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The node answered with an error.
    #[error("{endpoint}: {method}: error {code}: {message}")]
    Node {
        /// The endpoint, redacted.
        endpoint: String,
        /// The method.
        method: &'static str,
        /// JSON-RPC code.
        code: i64,
        /// The node's words.
        message: String,
        /// What came with it, such as revert data.
        data: Option<Value>,
    },
}

/// Whether an endpoint's answers can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// They can.
    Healthy,
    /// It said something that can't be; alarm.
    Lost {
        /// What.
        reason: String,
    },
}

/// Why no client could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: no HTTP client: {reason}")]
pub struct EndpointError {
    endpoint: String,
    reason: String,
}

/// A JSON-RPC endpoint.
#[derive(Debug)]
pub struct Endpoint {
    http: reqwest::Client,
    url: EndpointUrl,
    limits: EndpointLimits,
    next_id: AtomicU64,
    health: Mutex<Health>,
}

/// Longest piece of a node's text that is repeated in an error.
const EXCERPT_CHARS: usize = 200;

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}

impl Endpoint {
    /// A client for `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the TLS configuration of the host can't be used.
    pub fn new(url: EndpointUrl, limits: EndpointLimits) -> Result<Self, EndpointError> {
        // The first provider that a process installs stands; an error says that there is one.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::trace!("TLS provider is installed already");
        }
        let http = reqwest::Client::builder()
            .timeout(limits.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| EndpointError { endpoint: url.to_string(), reason: error.without_url().to_string() })?;
        Ok(Self { http, url, limits, next_id: AtomicU64::new(1), health: Mutex::new(Health::Healthy) })
    }

    /// The URL; shown redacted.
    pub fn url(&self) -> &EndpointUrl {
        &self.url
    }

    /// Whether its answers can be used.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the endpoint's health: it said something that can't be.
    pub fn lose_health(&self, reason: String) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health == Health::Healthy {
            tracing::warn!(endpoint = %self.url, %reason, "endpoint lost its health");
        }
        *health = Health::Lost { reason };
    }

    /// Gives it back after a whole view of the chain made sense.
    pub fn regain_health(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *health != Health::Healthy {
            tracing::info!(endpoint = %self.url, "endpoint makes sense again");
        }
        *health = Health::Healthy;
    }

    /// An answer that contradicts what the caller knows; the endpoint loses its health.
    pub fn malformed(&self, method: &'static str, reason: impl Into<String>) -> RpcError {
        let reason = reason.into();
        self.lose_health(format!("{method}: {reason}"));
        RpcError::Malformed { endpoint: self.url.to_string(), method, reason }
    }

    fn unreachable(&self, method: &'static str, reason: impl Into<String>) -> RpcError {
        RpcError::Unreachable { endpoint: self.url.to_string(), method, reason: reason.into() }
    }

    /// Calls `method` once. A result of `null` is a `T` only when `T` says so (`Option`).
    ///
    /// # Errors
    /// See [`RpcError`]. Nothing is repeated: whether to ask again is the caller's decision.
    pub async fn call<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let (status, body) = self.post(method, &request).await?;
        let answer: Value = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            // A proxy's error page is no answer of the node.
            Err(_) if !status.is_success() => return Err(self.unreachable(method, format!("HTTP status {status}"))),
            Err(error) => {
                return Err(self.malformed(method, format!("not JSON ({error}): {:?}", excerpt(&String::from_utf8_lossy(&body)))));
            }
        };
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(self.node_error(method, error));
        }
        if !status.is_success() {
            return Err(self.unreachable(method, format!("HTTP status {status}")));
        }
        if answer.get("id") != Some(&Value::from(id)) {
            return Err(self.malformed(method, "the answer is to another request"));
        }
        let Value::Object(mut fields) = answer else {
            return Err(self.malformed(method, "the answer is no object"));
        };
        let result = fields.remove("result").ok_or_else(|| self.malformed(method, "neither result nor error"))?;
        serde_json::from_value(result).map_err(|error| self.malformed(method, error.to_string()))
    }

    fn node_error(&self, method: &'static str, error: &Value) -> RpcError {
        match (error.get("code").and_then(Value::as_i64), error.get("message").and_then(Value::as_str)) {
            (Some(code), Some(message)) => RpcError::Node {
                endpoint: self.url.to_string(),
                method,
                code,
                message: excerpt(message),
                data: error.get("data").filter(|data| !data.is_null()).cloned(),
            },
            _ => self.malformed(method, format!("an error without code or message: {}", excerpt(&error.to_string()))),
        }
    }

    async fn post(&self, method: &'static str, request: &Value) -> Result<(reqwest::StatusCode, Vec<u8>), RpcError> {
        // The client's own time-out covers connecting, sending and all of the answer.
        let failed = |error: reqwest::Error| {
            let reason = if error.is_timeout() {
                format!("no answer within {} ms", self.limits.timeout.as_millis())
            } else {
                reason_of(&error.without_url())
            };
            self.unreachable(method, reason)
        };
        let mut response = self.http.post(self.url.expose().clone()).json(request).send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > self.limits.answer_bytes_max {
                return Err(self.malformed(method, format!("the answer is longer than {} bytes", self.limits.answer_bytes_max)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}

/// The error with its causes: the outermost says only that sending failed.
pub(crate) fn reason_of(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    reason
}

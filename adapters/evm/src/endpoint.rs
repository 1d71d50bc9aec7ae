//! One JSON-RPC endpoint over HTTP: bounded in time and size, and exact about what a failure means.
//!
//! Three kinds of failure stay apart (R4): the node could not be reached or did not answer in time, it answered
//! something that makes no sense, or it answered with an error of its own. *Nothing there* is no failure: a `null`
//! result is a value that the caller's type has to allow. An endpoint that talks nonsense, or for another chain, loses
//! its health until a whole view of the chain made sense again; one that fails is left alone for a while by its breaker.
//! Choosing among several endpoints is [`crate::pool`]'s.
//!
//! The request is made with the HTTP client directly: alloy's transport takes answers of any length, and prints the URL,
//! with the key that it may carry, into spans and errors.

use crate::breaker::{Breaker, BreakerPolicy, CallEnd};
use crate::health::{Health, Notice, PoolHealth};
use crate::url::EndpointUrl;
use acurast_events::units::Millis;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Bounds of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimits {
    /// A call that takes longer has no answer.
    pub timeout: Duration,
    /// A longer answer is refused.
    pub answer_bytes_max: usize,
    /// When it is left alone.
    pub breaker: BreakerPolicy,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), answer_bytes_max: 32 << 20, breaker: BreakerPolicy::default() }
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
    /// The node doesn't have what it, or another one, said there is: it is behind, or its chain is changing. Neither an
    /// agreement with anybody nor a contradiction.
    #[error("{endpoint}: {reason}")]
    Missing {
        /// The endpoint, redacted.
        endpoint: String,
        /// What is missing.
        reason: String,
    },
    /// Neither a trusted endpoint nor a majority of those configured gave an answer that counts.
    #[error("no answer that counts: {reason}")]
    Undecided {
        /// Who said what.
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

/// What the endpoints of one chain share: their health, and the clock that it is judged by.
#[derive(Debug, Clone)]
pub struct SharedHealth {
    pool: Arc<Mutex<PoolHealth>>,
    origin: Instant,
}

impl SharedHealth {
    /// The health of a chain's endpoints, from now on.
    pub fn new(pool: PoolHealth) -> Self {
        Self { pool: Arc::new(Mutex::new(pool)), origin: Instant::now() }
    }

    /// Monotonic time since it was made.
    pub fn now(&self) -> Millis {
        Millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The state, for as long as the guard lives; never across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, PoolHealth> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A JSON-RPC endpoint.
#[derive(Debug)]
pub struct Endpoint {
    http: reqwest::Client,
    url: EndpointUrl,
    name: String,
    limits: EndpointLimits,
    next_id: AtomicU64,
    breaker: Mutex<Breaker>,
    health: SharedHealth,
    /// Its place in the pool.
    index: usize,
}

/// Longest piece of a node's text that is repeated in an error.
const EXCERPT_CHARS: usize = 200;

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}

impl Endpoint {
    /// A client for a chain's only endpoint, at `url`. Nothing is sent yet.
    ///
    /// # Errors
    /// When the TLS configuration of the host can't be used.
    pub fn new(url: EndpointUrl, limits: EndpointLimits) -> Result<Self, EndpointError> {
        let name = url.to_string();
        Self::member(url, name, limits, SharedHealth::new(PoolHealth::new(Millis(0), [true])), 0)
    }

    /// A client for the endpoint with this place in a pool, under a name that shows no secret.
    ///
    /// # Errors
    /// When the TLS configuration of the host can't be used.
    pub fn member(
        url: EndpointUrl,
        name: String,
        limits: EndpointLimits,
        health: SharedHealth,
        index: usize,
    ) -> Result<Self, EndpointError> {
        // The first provider that a process installs stands; an error says that there is one.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::trace!("TLS provider is installed already");
        }
        let http = reqwest::Client::builder()
            .timeout(limits.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| EndpointError { endpoint: name.clone(), reason: error.without_url().to_string() })?;
        Ok(Self { http, url, name, limits, next_id: AtomicU64::new(1), breaker: Mutex::default(), health, index })
    }

    /// Its name in logs, errors and metrics; shows no secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its answers can be used.
    pub fn health(&self) -> Health {
        self.health.state().verdict(self.index, self.health.now())
    }

    /// Its breaker as it is now.
    pub fn breaker(&self) -> Breaker {
        *self.breaker_state()
    }

    /// Whether a call would be made now.
    pub fn is_open_to_calls(&self) -> bool {
        self.breaker_state().permits(self.health.now())
    }

    fn breaker_state(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was noticed of it; says so when that changes its health.
    pub(crate) fn notice(&self, notice: Notice) {
        let now = self.health.now();
        let (before, after) = {
            let mut state = self.health.state();
            (state.verdict(self.index, now), state.evolve(self.index, notice, now))
        };
        match (&before, &after) {
            (Health::Healthy, Health::Healthy) => {}
            (_, Health::Healthy) => tracing::info!(endpoint = self.name, "endpoint is healthy again"),
            (Health::Healthy, lost) => tracing::warn!(endpoint = self.name, health = ?lost, "endpoint lost its health"),
            (before, after) if std::mem::discriminant(before) != std::mem::discriminant(after) => {
                tracing::warn!(endpoint = self.name, health = ?after, "endpoint is no better");
            }
            _ => {}
        }
    }

    /// Takes note of how a call ended.
    pub(crate) fn note(&self, end: CallEnd) {
        let now = self.health.now();
        let mut breaker = self.breaker_state();
        let closed = matches!(*breaker, Breaker::Closed { .. });
        breaker.note(end, now, &self.limits.breaker);
        if let (true, Breaker::Open { pause, .. }) = (closed, *breaker) {
            tracing::warn!(
                endpoint = self.name,
                pause_ms = pause.0,
                throttled = matches!(end, CallEnd::Throttled(_)),
                "endpoint is left alone"
            );
        }
    }

    /// An answer that contradicts what the caller knows; the endpoint loses its health.
    pub fn malformed(&self, method: &'static str, reason: impl Into<String>) -> RpcError {
        let reason = reason.into();
        self.notice(Notice::Senseless(format!("{method}: {reason}")));
        RpcError::Malformed { endpoint: self.name.clone(), method, reason }
    }

    /// It doesn't have what there should be.
    pub(crate) fn missing(&self, reason: impl Into<String>) -> RpcError {
        RpcError::Missing { endpoint: self.name.clone(), reason: reason.into() }
    }

    pub(crate) fn unreachable(&self, method: &'static str, reason: impl Into<String>) -> RpcError {
        RpcError::Unreachable { endpoint: self.name.clone(), method, reason: reason.into() }
    }

    /// Calls `method` once. A result of `null` is a `T` only when `T` says so (`Option`).
    ///
    /// # Errors
    /// See [`RpcError`]; also when its breaker is open. Nothing is repeated: whether to ask again is the caller's decision.
    pub async fn call<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, RpcError> {
        let call_max = Millis(u64::try_from(self.limits.timeout.as_millis()).unwrap_or(u64::MAX));
        let entered = self.breaker_state().enter(self.health.now(), call_max);
        entered.map_err(|left| self.unreachable(method, format!("left alone for {left} ms more, after failures or at its own wish")))?;
        match self.exchange(method, params).await {
            Ok(value) => {
                self.note(CallEnd::Answered);
                Ok(value)
            }
            Err(Failure { error, end }) => {
                self.note(end);
                Err(error)
            }
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, Failure> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let (status, headers, body) = self.post(method, &request).await?;
        let unusable = || self.unreachable(method, format!("HTTP status {status}"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure { error: unusable(), end: CallEnd::Throttled(retry_after(&headers)) });
        }
        let answer: Value = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            // A proxy's error page is no answer of the node.
            Err(_) if !status.is_success() => return Err(unusable().into()),
            Err(error) => {
                return Err(self.malformed(method, format!("not JSON ({error}): {:?}", excerpt(&String::from_utf8_lossy(&body)))).into());
            }
        };
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(self.node_error(method, error).into());
        }
        if !status.is_success() {
            return Err(unusable().into());
        }
        if answer.get("id") != Some(&Value::from(id)) {
            return Err(self.malformed(method, "the answer is to another request").into());
        }
        let Value::Object(mut fields) = answer else {
            return Err(self.malformed(method, "the answer is no object").into());
        };
        let result = fields.remove("result").ok_or_else(|| self.malformed(method, "neither result nor error"))?;
        serde_json::from_value(result).map_err(|error| self.malformed(method, error.to_string()).into())
    }

    fn node_error(&self, method: &'static str, error: &Value) -> RpcError {
        match (error.get("code").and_then(Value::as_i64), error.get("message").and_then(Value::as_str)) {
            (Some(code), Some(message)) => RpcError::Node {
                endpoint: self.name.clone(),
                method,
                code,
                message: excerpt(message),
                data: error.get("data").filter(|data| !data.is_null()).cloned(),
            },
            _ => self.malformed(method, format!("an error without code or message: {}", excerpt(&error.to_string()))),
        }
    }

    async fn post(&self, method: &'static str, request: &Value) -> Result<(StatusCode, HeaderMap, Vec<u8>), RpcError> {
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
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > self.limits.answer_bytes_max {
                return Err(self.malformed(method, format!("the answer is longer than {} bytes", self.limits.answer_bytes_max)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, headers, body))
    }
}

/// A failed call: what the caller is told, and what the breaker is.
struct Failure {
    error: RpcError,
    end: CallEnd,
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let end = if matches!(error, RpcError::Unreachable { .. }) { CallEnd::Failed } else { CallEnd::Answered };
        Self { error, end }
    }
}

/// What `Retry-After` says, in its form of seconds; a date would need a clock that both agree on.
fn retry_after(headers: &HeaderMap) -> Option<Millis> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Millis(seconds.saturating_mul(1_000)))
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

//! The proxy itself: takes a request, asks the plan, forwards, answers or doesn't.

use super::connection::{Connections, Ending};
use super::counts::Counts;
use super::draw::Draw;
use super::fault::Fault;
use super::heads::{self, Heads};
use super::plan::{FaultPlan, Mode, PlanChange, PlanError};
use super::{answer, control, lie};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest request that is forwarded.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Longest answer that is passed on.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A node that takes longer has not answered.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a proxy could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It would be reachable from elsewhere.
    #[error("{0} is not a loopback address; a proxy that lies is for this machine only")]
    NotLoopback(SocketAddr),
    /// The port can't be had.
    #[error("can't listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// No HTTP client for the node, or its URL is none.
    #[error("no client for the node: {0}")]
    Upstream(reqwest::Error),
    /// The plan can't be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What a proxy does and did: the answer of `GET /faults`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The plan now.
    #[serde(flatten)]
    pub plan: FaultPlan,
    /// All requests.
    pub requests: u64,
    /// All that met a fault or a mode.
    pub faulted: u64,
    /// By method and fault.
    pub counts: Counts,
}

/// What the handlers share.
pub(super) struct Shared {
    upstream: reqwest::Url,
    http: reqwest::Client,
    plan: watch::Sender<FaultPlan>,
    counts: Mutex<Counts>,
    heads: Mutex<Heads>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn status(&self) -> Status {
        let counts = lock(&self.counts).clone();
        Status { plan: self.plan.borrow().clone(), requests: counts.requests_total(), faulted: counts.faults_total(), counts }
    }

    pub(super) fn set(&self, change: PlanChange) -> Result<(), PlanError> {
        let changed = self.plan.borrow().changed(change)?;
        tracing::info!(mode = changed.mode.name(), permille = changed.faults_permille, "plan changed");
        self.plan.send_replace(changed);
        Ok(())
    }

    fn met(&self, name: &'static str, method: &str) {
        lock(&self.counts).met(name, method);
    }

    /// The node's answer, or 502 with what happened.
    async fn forward(&self, body: &Bytes) -> Result<Forwarded, Response> {
        let failed = |error: reqwest::Error| {
            let counts = &mut *lock(&self.counts);
            counts.upstream_failures = counts.upstream_failures.saturating_add(1);
            (StatusCode::BAD_GATEWAY, format!("the node behind this proxy can't be asked: {}", error.without_url())).into_response()
        };
        let request = self.http.post(self.upstream.clone()).header(header::CONTENT_TYPE, "application/json").body(body.clone());
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err((StatusCode::BAD_GATEWAY, "the node's answer is longer than this proxy passes on").into_response());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Forwarded { status, json: serde_json::from_slice(&bytes).ok(), bytes })
    }
}

/// What the node answered.
struct Forwarded {
    status: StatusCode,
    bytes: Vec<u8>,
    /// Absent when it is no JSON; such an answer is passed on as it is.
    json: Option<Value>,
}

impl Forwarded {
    fn response(self) -> Response {
        answered(self.status, self.bytes)
    }
}

fn answered(status: StatusCode, bytes: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

fn sound(value: &Value) -> Response {
    answered(StatusCode::OK, value.to_string().into_bytes())
}

/// The answer that no byte of reaches the client: the connection ends at its first write.
fn unsent() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// One request, read as far as faults need.
struct Request {
    method: String,
    params: Value,
    id: Value,
    body: Bytes,
}

impl Request {
    /// A body that is no single JSON-RPC request is forwarded under a name of its own.
    fn new(body: Bytes) -> Self {
        let value: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let method = value.get("method").and_then(Value::as_str).unwrap_or(if value.is_array() { "batch" } else { "unreadable" });
        Self {
            method: method.to_owned(),
            params: value.get("params").cloned().unwrap_or_default(),
            id: value.get("id").cloned().unwrap_or_default(),
            body,
        }
    }

    fn answer(&self, result: &Value) -> Response {
        sound(&json!({ "jsonrpc": "2.0", "id": self.id, "result": result }))
    }
}

async fn serve(State(shared): State<Arc<Shared>>, ConnectInfo(ending): ConnectInfo<Ending>, body: Bytes) -> Response {
    let request = Request::new(body);
    let before = lock(&shared.counts).request(&request.method);
    let plan = shared.plan.borrow().clone();
    match plan.mode {
        Mode::Sound => {}
        Mode::Dead => {
            shared.met(Mode::Dead.name(), &request.method);
            ending.close();
            return unsent();
        }
        Mode::Silent => {
            shared.met(Mode::Silent.name(), &request.method);
            // Until the mode changes or the client gives up. Either way, never an answer.
            let mut changes = shared.plan.subscribe();
            let _ = changes.wait_for(|plan| plan.mode != Mode::Silent).await;
            ending.close();
            return unsent();
        }
        Mode::Frozen => {
            if let Some(response) = frozen(&shared, &request) {
                return response;
            }
        }
        Mode::Lying => {
            if let Some(response) = lying(&shared, &request).await {
                return response;
            }
        }
    }
    let mut draw = Draw::new(plan.seed, &request.method, before);
    match draw.fault(&plan, &request.method) {
        None => passed(&shared, &request).await,
        Some(fault) => faulty(&shared, &request, &ending, &plan, fault, &mut draw).await,
    }
}

/// Forwards and passes on; remembers heads.
async fn passed(shared: &Shared, request: &Request) -> Response {
    match shared.forward(&request.body).await {
        Ok(forwarded) => {
            remember(shared, request, &forwarded);
            forwarded.response()
        }
        Err(response) => response,
    }
}

fn remember(shared: &Shared, request: &Request, forwarded: &Forwarded) {
    let result = forwarded.json.as_ref().and_then(|json| json.get("result")).filter(|result| !result.is_null());
    if let (Some(question), Some(result)) = (heads::question(&request.method, &request.params), result) {
        lock(&shared.heads).record(&question, result);
    }
}

/// The head as it was last told; nothing for other questions, and for a head never asked for.
fn frozen(shared: &Shared, request: &Request) -> Option<Response> {
    let question = heads::question(&request.method, &request.params)?;
    let result = lock(&shared.heads).last(&question)?.clone();
    shared.met(Mode::Frozen.name(), &request.method);
    Some(request.answer(&result))
}

/// A lie; nothing where this node says the truth.
async fn lying(shared: &Shared, request: &Request) -> Option<Response> {
    if let Some(hash) = lie::swallowed(&request.method, &request.params) {
        shared.met(Mode::Lying.name(), &request.method);
        return Some(request.answer(&hash));
    }
    let told = match shared.forward(&request.body).await {
        Ok(forwarded) => lie::told(&request.method, forwarded.json?)?,
        Err(response) => return Some(response),
    };
    shared.met(Mode::Lying.name(), &request.method);
    Some(sound(&told))
}

async fn faulty(shared: &Shared, request: &Request, ending: &Ending, plan: &FaultPlan, fault: Fault, draw: &mut Draw) -> Response {
    let method = &request.method;
    match fault {
        Fault::DropRequest => {
            shared.met(fault.name(), method);
            ending.close();
            unsent()
        }
        Fault::Reset => {
            shared.met(fault.name(), method);
            ending.reset();
            unsent()
        }
        Fault::TooMany => {
            shared.met(fault.name(), method);
            let wait = [(header::RETRY_AFTER, plan.retry_after_seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, wait, "too many requests").into_response()
        }
        Fault::Delay => {
            shared.met(fault.name(), method);
            tokio::time::sleep(draw.millis_below(plan.delay_ms_max)).await;
            passed(shared, request).await
        }
        Fault::DropAnswer => match shared.forward(&request.body).await {
            Ok(_) => {
                shared.met(fault.name(), method);
                ending.close();
                unsent()
            }
            Err(response) => response,
        },
        Fault::Duplicate => match shared.forward(&request.body).await {
            Ok(_) => {
                shared.met(fault.name(), method);
                passed(shared, request).await
            }
            Err(response) => response,
        },
        Fault::StaleHead => {
            let question = heads::question(method, &request.params);
            let stale = question.and_then(|question| {
                let heads = lock(&shared.heads);
                let earlier = heads.earlier(&question);
                earlier.get(draw.below(earlier.len())).map(|result| (*result).clone())
            });
            match stale {
                Some(result) => {
                    shared.met(fault.name(), method);
                    request.answer(&result)
                }
                None => passed(shared, request).await,
            }
        }
        Fault::OtherChain => {
            shared.met(fault.name(), method);
            request.answer(&json!(if method == "net_version" { "7777777" } else { "0x76adf1" }))
        }
        Fault::Truncate | Fault::WrongType | Fault::HugeNumber | Fault::WrongId => match shared.forward(&request.body).await {
            Ok(Forwarded { json: Some(answer), .. }) => {
                shared.met(fault.name(), method);
                match fault {
                    Fault::WrongType => sound(&answer::of_another_type(answer)),
                    Fault::HugeNumber => sound(&answer::with_huge_numbers(answer)),
                    Fault::WrongId => sound(&answer::with_another_id(answer)),
                    _ => answered(StatusCode::OK, answer::truncated(&answer, draw)),
                }
            }
            Ok(forwarded) => forwarded.response(),
            Err(response) => response,
        },
    }
}

/// A running proxy; it ends when this is dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<std::io::Result<()>>,
}

impl std::fmt::Debug for FaultProxy {
    // The node's URL may hold a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Starts a proxy on a free loopback port.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub async fn start(upstream: &str, plan: FaultPlan) -> Result<Self, ProxyError> {
        Self::listen(upstream, (Ipv4Addr::LOCALHOST, 0).into(), plan).await
    }

    /// Starts a proxy on this loopback address; port 0 means any that is free.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub async fn listen(upstream: &str, address: SocketAddr, plan: FaultPlan) -> Result<Self, ProxyError> {
        if !address.ip().is_loopback() {
            return Err(ProxyError::NotLoopback(address));
        }
        // The first provider that a process installs stands; an error says that there is one.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::trace!("TLS provider is installed already");
        }
        let http = reqwest::Client::builder().timeout(UPSTREAM_TIMEOUT).no_proxy().build().map_err(ProxyError::Upstream)?;
        let probe = http.post(upstream).build().map_err(|error| ProxyError::Upstream(error.without_url()))?;
        let shared = Arc::new(Shared {
            upstream: probe.url().clone(),
            http,
            plan: watch::Sender::new(plan.checked()?),
            counts: Mutex::default(),
            heads: Mutex::default(),
        });
        let refused = |error| ProxyError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let router = Router::new()
            .route("/faults", get(control::tell).post(control::change))
            .fallback(post(serve))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Ending>();
        let task = tokio::spawn(async move { axum::serve(Connections(listener), service).await });
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is configured with.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What befell the requests so far.
    pub fn counts(&self) -> Counts {
        self.shared.status().counts
    }

    /// The plan now, and what befell the requests so far.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Changes what befalls the next requests.
    ///
    /// # Errors
    /// When the change can't be carried out; then nothing of it holds.
    pub fn set(&self, change: impl Into<PlanChange>) -> Result<(), PlanError> {
        self.shared.set(change.into())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! The HTTP interface: outputs in, jobs and dead letters out, health and metrics; and, on a listener of its own, operators' commands.
//! Everything it says was read back from the journal.

pub mod admin;
mod dead_letters;
mod jobs;
mod outputs;

use crate::metrics::{self, Metrics};
use crate::query::SettleHandle;
use acurast_relayer_journal::EventJournal;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Requests that are served at once; more are told to come again.
const REQUESTS_MAX: usize = 256;
/// How much longer than the answer itself a request may take, its body included.
const REQUEST_MARGIN: Duration = Duration::from_secs(5);
/// How long open requests may go on after a stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How long a settle loop may take to say that it lives.
const HEALTH_MAX: Duration = Duration::from_secs(3);

/// JSON around a payload: two hex digits a byte and the other fields.
const BODY_OVERHEAD_BYTES: usize = 4_096;

/// What handlers share.
pub struct ApiState {
    /// The settle loops, one per partition of `jobs.v1`.
    pub settle: Vec<SettleHandle>,
    /// Where outputs are appended.
    pub journal: Arc<dyn EventJournal>,
    /// Full name of `outputs.v1`.
    pub outputs: acurast_events::topics::TopicName,
    /// Full name of `control.v1`.
    pub control: acurast_events::topics::TopicName,
    /// Longest payload taken, bytes.
    pub payload_bytes_max: u32,
    /// How long an answer waits for the record that accepts an output.
    pub answer_max: Duration,
    /// Counters.
    pub metrics: Metrics,
    /// All metrics, for `/metrics`.
    pub registry: Arc<Registry>,
}

/// Why the interface can't serve.
#[derive(Debug, thiserror::Error)]
#[error("HTTP interface on {listen}: {reason}")]
pub struct ApiError {
    listen: SocketAddr,
    reason: std::io::Error,
}

/// The routes.
pub fn router(state: Arc<ApiState>) -> Router {
    let body_max = usize::try_from(state.payload_bytes_max).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(BODY_OVERHEAD_BYTES);
    let routes = Router::new()
        .route("/v1/outputs", post(outputs::submit))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{id}", get(dead_letters::show))
        .route("/healthz", get(health))
        .route("/metrics", get(scrape));
    bounded(routes, body_max, state)
}

/// Bounds what clients can ask of these routes: bytes, requests at once, time.
fn bounded(routes: Router<Arc<ApiState>>, body_max: usize, state: Arc<ApiState>) -> Router {
    routes
        .layer(DefaultBodyLimit::max(body_max))
        .layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(REQUESTS_MAX)), bounded_in_number))
        .layer(middleware::from_fn_with_state(state.answer_max.saturating_add(REQUEST_MARGIN), bounded_in_time))
        .with_state(state)
}

async fn bounded_in_number(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match places.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], "too many requests at once\n").into_response(),
    }
}

async fn bounded_in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

/// Serves until `stop`; answers that are under way are finished, within a few seconds.
///
/// # Errors
/// When the address can't be bound or serving fails.
pub async fn serve(listen: SocketAddr, router: Router, stop: CancellationToken) -> Result<(), ApiError> {
    let failed = |reason| ApiError { listen, reason };
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "serving");
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future();
    tokio::select! {
        served = serving => served.map_err(failed),
        () = async { stop.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => Ok(()),
    }
}

/// Every settle loop answers, as owner or as a follower that read its log to the end once; a loop that hangs makes the process
/// unhealthy.
async fn health(State(state): State<Arc<ApiState>>) -> Response {
    let answers = state.settle.iter().map(|handle| async {
        let answered = tokio::time::timeout(HEALTH_MAX, handle.ping()).await;
        if matches!(answered, Ok(Ok(()))) { Ok(()) } else { Err(handle.partition()) }
    });
    match futures::future::try_join_all(answers).await {
        Ok(_) => (StatusCode::OK, "ok\n").into_response(),
        Err(partition) => {
            let text = format!("settle of partition {partition} does not answer: it reads its log, rebuilds, or hangs\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn scrape(State(state): State<Arc<ApiState>>) -> Response {
    match metrics::render(&state.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

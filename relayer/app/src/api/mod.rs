//! The HTTP interface: outputs in, jobs out, health and metrics. Everything it says was read back from the journal.

mod jobs;
mod outputs;

use crate::metrics::{self, Metrics};
use crate::query::SettleHandle;
use acurast_relayer_journal::EventJournal;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

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
    Router::new()
        .route("/v1/outputs", post(outputs::submit))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/healthz", get(health))
        .route("/metrics", get(scrape))
        .layer(DefaultBodyLimit::max(body_max))
        .with_state(state)
}

/// Serves until `stop`; answers that are under way are finished.
///
/// # Errors
/// When the address can't be bound or serving fails.
pub async fn serve(listen: SocketAddr, state: Arc<ApiState>, stop: CancellationToken) -> Result<(), ApiError> {
    let failed = |reason| ApiError { listen, reason };
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "serving");
    axum::serve(listener, router(state)).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(failed)
}

/// Every settle loop answers; a loop that hangs makes the process unhealthy.
async fn health(State(state): State<Arc<ApiState>>) -> Response {
    for handle in &state.settle {
        if handle.ping().await.is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, format!("settle of partition {} does not answer\n", handle.partition()))
                .into_response();
        }
    }
    (StatusCode::OK, "ok\n").into_response()
}

async fn scrape(State(state): State<Arc<ApiState>>) -> Response {
    match metrics::render(&state.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

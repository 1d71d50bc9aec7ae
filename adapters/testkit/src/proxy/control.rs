//! The proxy's own page: `GET /faults` tells, `POST /faults` changes.

use super::plan::PlanChange;
use super::server::{Shared, Status};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What the proxy does and did.
pub(super) async fn tell(State(shared): State<Arc<Shared>>) -> Json<Status> {
    Json(shared.status())
}

/// Changes the plan; what is answered is the new one, or why it can't be.
pub(super) async fn change(State(shared): State<Arc<Shared>>, Json(change): Json<PlanChange>) -> Response {
    match shared.set(change) {
        Ok(()) => Json(shared.status()).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

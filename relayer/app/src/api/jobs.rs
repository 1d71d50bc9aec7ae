//! `GET /v1/jobs[/id]`: what the relayer knows of jobs, closed ones included.

use super::ApiState;
use acurast_events::bytes::JobKey;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Most jobs in one answer.
const PAGE: usize = 200;

/// Where a listing goes on.
#[derive(Debug, Deserialize)]
pub(super) struct Cursor {
    after: Option<JobKey>,
}

pub(super) async fn list(State(state): State<Arc<ApiState>>, Query(cursor): Query<Cursor>) -> Response {
    let mut jobs = Vec::new();
    for handle in &state.settle {
        match handle.jobs(cursor.after, PAGE).await {
            Ok(found) => jobs.extend(found),
            Err(error) => return unavailable(&error.to_string()),
        }
    }
    // Each partition gives its first ones after the cursor: the first of all are among them.
    jobs.sort_unstable_by_key(|(key, _)| *key);
    let more = jobs.len() > PAGE;
    jobs.truncate(PAGE);
    let next = jobs.last().filter(|_| more).map(|(key, _)| key.to_string());
    let views: Vec<_> = jobs.into_iter().map(|(_, view)| view).collect();
    Json(json!({ "jobs": views, "next": next })).into_response()
}

pub(super) async fn show(State(state): State<Arc<ApiState>>, Path(id): Path<String>) -> Response {
    let Ok(key) = id.parse::<JobKey>() else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "a job is named by its job_key, 0x and 64 hexadecimal digits" })))
            .into_response();
    };
    for handle in &state.settle {
        match handle.job(key).await {
            Ok(Some(view)) => return Json(view).into_response(),
            Ok(None) => {}
            Err(error) => return unavailable(&error.to_string()),
        }
    }
    (StatusCode::NOT_FOUND, Json(json!({ "error": format!("no job {key}") }))).into_response()
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": reason }))).into_response()
}

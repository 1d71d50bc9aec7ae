//! `GET /v1/dead-letters[/id]`: what could not be processed, open or ended.

use super::ApiState;
use acurast_events::bytes::EventId;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Most dead letters in one answer.
const PAGE: usize = 200;

/// Which ones, and where a listing goes on.
#[derive(Debug, Deserialize)]
pub(super) struct Cursor {
    after: Option<EventId>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn list(State(state): State<Arc<ApiState>>, Query(cursor): Query<Cursor>) -> Response {
    let mut letters = Vec::new();
    for handle in &state.settle {
        match handle.letters(cursor.all, cursor.after, PAGE).await {
            Ok(found) => letters.extend(found),
            Err(error) => return unavailable(&error.to_string()),
        }
    }
    // Each partition gives its first ones after the cursor: the first of all are among them.
    letters.sort_unstable_by_key(|letter| letter.dead_letter);
    let more = letters.len() > PAGE;
    letters.truncate(PAGE);
    let next = letters.last().filter(|_| more).map(|letter| letter.dead_letter.to_string());
    Json(json!({ "dead_letters": letters, "next": next })).into_response()
}

pub(super) async fn show(State(state): State<Arc<ApiState>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<EventId>() else {
        let error = "a dead letter is named by its id, 0x and 64 hexadecimal digits";
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    };
    for handle in &state.settle {
        match handle.letter(id).await {
            Ok(Some(letter)) => return Json(letter).into_response(),
            Ok(None) => {}
            Err(error) => return unavailable(&error.to_string()),
        }
    }
    (StatusCode::NOT_FOUND, Json(json!({ "error": format!("no dead letter {id}") }))).into_response()
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": reason }))).into_response()
}

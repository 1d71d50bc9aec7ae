//! `POST /v1/commands`: operators' commands, on a listener of their own and with a bearer token (R15).
//!
//! A command is appended to `control.v1`, and answered once the record that decides it was read back, with what it came to. What
//! the token vouches for is that an operator's side sent it; the name in it is theirs to keep true.

use super::{ApiState, bounded};
use crate::config::SecretRef;
use crate::query::SettleHandle;
use acurast_events::bytes::EventId;
use acurast_events::control::{Command, CommandTarget, CommandVia, ControlCommand, DeadLetterTarget, Requeue, Resolve};
use acurast_events::ids::sha256;
use acurast_events::units::Timestamp;
use acurast_events::wire::Message;
use acurast_relayer_core::{CommandResult, WHO_BYTES_MAX, WHY_BYTES_MAX};
use acurast_relayer_journal::{Attributes, NewRecord, fresh_writer_id};
use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Shortest token that is taken, in characters: it is all that stands between the host's users and the commands.
const TOKEN_CHARACTERS_MIN: usize = 32;
/// JSON around a name and a reason.
const BODY_OVERHEAD_BYTES: usize = 4_096;

/// Why the token can't be used. Never says what it is.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The reference is none.
    #[error("admin.token: set exactly one of `file` and `env`")]
    Reference,
    /// It can't be read.
    #[error("admin.token: {0}")]
    Missing(String),
    /// It is too short to be one.
    #[error("admin.token: a token has at least {TOKEN_CHARACTERS_MIN} characters; make one with `openssl rand -hex 32`")]
    Short,
}

/// The token that a request must carry, by its hash.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Reads it.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn read(reference: &SecretRef) -> Result<Self, TokenError> {
        Ok(Self::of(&text(reference)?))
    }

    fn of(text: &str) -> Self {
        Self(sha256(&[text.as_bytes()]))
    }

    /// Whether `given` is it. Hashes are compared, and all of their bytes: how long that takes says nothing about the token.
    fn fits(&self, given: &str) -> bool {
        let given = Self::of(given);
        self.0.iter().zip(given.0).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
    }
}

/// The token itself, for the command line, which sends it.
///
/// # Errors
/// See [`TokenError`].
pub fn text(reference: &SecretRef) -> Result<String, TokenError> {
    let reference = reference.reference().ok_or(TokenError::Reference)?;
    let text = reference.read().map_err(|error| TokenError::Missing(error.to_string()))?;
    if text.chars().count() < TOKEN_CHARACTERS_MIN { Err(TokenError::Short) } else { Ok(text.as_str().to_owned()) }
}

/// What an operator can have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Try again.
    Requeue,
    /// Nothing more is to be done.
    Resolve,
}

/// The request's body.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// What is to be done.
    pub command: Action,
    /// The dead letter.
    pub dead_letter: EventId,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub why: String,
    /// The command's id; the same one when a request is sent again because its answer was lost. One is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
}

impl CommandRequest {
    /// The record that it is, for the partition of its dead letter.
    pub fn record(&self, partition: u32, id: EventId, via: CommandVia, now: Timestamp) -> ControlCommand {
        ControlCommand {
            id,
            target: CommandTarget::DeadLetterTarget(DeadLetterTarget { id: self.dead_letter, partition }),
            command: match self.command {
                Action::Requeue => Command::Requeue(Requeue {}),
                Action::Resolve => Command::Resolve(Resolve {}),
            },
            who: self.who.clone(),
            why: self.why.clone(),
            at: now,
            via,
        }
    }
}

/// An id for a command that nobody had before.
pub fn fresh_command_id() -> EventId {
    EventId(sha256(&[b"acurast/command/1", &fresh_writer_id().0]))
}

/// What is answered about a command that was decided.
pub fn answer(id: EventId, result: &CommandResult) -> serde_json::Value {
    let outcome = match result.fate {
        Some(fate) => json!(fate),
        None => json!("refused"),
    };
    json!({ "command": id, "result": outcome, "reason": result.refused, "who": result.given.who, "at": result.at })
}

/// The routes of operators' commands.
pub fn router(state: Arc<ApiState>, token: Token) -> Router {
    let body_max = WHO_BYTES_MAX.saturating_add(WHY_BYTES_MAX).saturating_mul(2).saturating_add(BODY_OVERHEAD_BYTES);
    let routes = Router::new()
        .route("/v1/commands", post(give))
        .route("/v1/commands/{id}", get(show))
        .layer(middleware::from_fn_with_state(token, authenticated));
    bounded(routes, body_max, state)
}

async fn authenticated(State(token): State<Token>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if given.is_some_and(|given| token.fits(given)) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], Json(json!({ "error": "a bearer token is needed" }))).into_response()
}

async fn give(State(state): State<Arc<ApiState>>, body: Result<Json<CommandRequest>, JsonRejection>) -> Response {
    match body {
        Ok(Json(request)) => take(&state, &request).await,
        Err(rejection) => refused(rejection.status(), &rejection.body_text()),
    }
}

async fn take(state: &ApiState, request: &CommandRequest) -> Response {
    for (name, text, most) in [("who", &request.who, WHO_BYTES_MAX), ("why", &request.why, WHY_BYTES_MAX)] {
        if text.trim().is_empty() || text.len() > most {
            return refused(StatusCode::UNPROCESSABLE_ENTITY, &format!("`{name}` has 1 to {most} bytes"));
        }
    }
    let id = request.id.unwrap_or_else(fresh_command_id);
    for handle in &state.settle {
        match handle.letter(request.dead_letter).await {
            Ok(Some(letter)) => {
                let command = request.record(letter.partition, id, CommandVia::Http, Timestamp(crate::clock::now_ms()));
                return append(state, handle, &command).await;
            }
            Ok(None) => {}
            Err(error) => return refused(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }
    refused(StatusCode::NOT_FOUND, &format!("no dead letter {}", request.dead_letter))
}

/// Appends the command and waits until settle's record about it was read back. A crash between the two: it is in the topic, and the
/// next start decides it; sent again with its id it changes nothing.
async fn append(state: &ApiState, handle: &SettleHandle, command: &ControlCommand) -> Response {
    let id = command.id;
    let record = NewRecord { key: command.key(), value: command.encode(), attributes: Attributes::default() };
    let offsets = match state.journal.append(&state.control.partition(handle.partition()), vec![record]).await {
        Ok(offsets) => offsets,
        Err(error) => return later(&id, &error.to_string()),
    };
    let Some(offset) = offsets.last().copied() else { return later(&id, "the journal gave no position") };
    match tokio::time::timeout(state.answer_max, handle.control_taken(offset)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return later(&id, &error.to_string()),
        Err(_) => return later(&id, "the command is stored and not decided yet"),
    }
    decided(handle, id).await.unwrap_or_else(|| later(&id, "the command is stored and not decided yet"))
}

/// The answer about a command that this partition decided.
async fn decided(handle: &SettleHandle, id: EventId) -> Option<Response> {
    match handle.command(id).await {
        Ok(Some(result)) => {
            let status = if result.fate.is_some() { StatusCode::OK } else { StatusCode::CONFLICT };
            Some((status, Json(answer(id, &result))).into_response())
        }
        Ok(None) => None,
        Err(error) => Some(later(&id, &error.to_string())),
    }
}

async fn show(State(state): State<Arc<ApiState>>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<EventId>() else {
        return refused(StatusCode::BAD_REQUEST, "a command is named by its id, 0x and 64 hexadecimal digits");
    };
    for handle in &state.settle {
        if let Some(response) = decided(handle, id).await {
            return response;
        }
    }
    refused(StatusCode::NOT_FOUND, &format!("no command {id} was decided"))
}

fn refused(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

/// Its outcome isn't known yet: the same request with this id again is safe.
fn later(id: &EventId, reason: &str) -> Response {
    let body = json!({ "error": format!("{reason}; send it again with its id"), "command": id });
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn only_the_whole_token_fits() {
        let token = Token::of("0123456789abcdef0123456789abcdef");
        assert!(token.fits("0123456789abcdef0123456789abcdef"));
        for other in ["", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0", "1123456789abcdef0123456789abcdef"] {
            assert!(!token.fits(other), "{other}");
        }
    }

    #[test]
    fn a_short_token_is_refused_and_not_repeated() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "hunter2").unwrap();
        let reference = SecretRef { file: Some(file.path().into()), env: None };
        let error = text(&reference).unwrap_err().to_string();
        assert!(error.contains("at least 32") && !error.contains("hunter2"), "{error}");
    }
}

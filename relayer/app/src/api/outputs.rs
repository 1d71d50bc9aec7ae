//! `POST /v1/outputs`: a processor's output for one execution (PROTOCOL §5).
//!
//! The signature is checked with the key that the chain has before anything is stored. The answer is 2xx only once
//! settle's record of the output was read back. The same output again gets the same answer.

use super::ApiState;
use crate::metrics::OutputLabels;
use crate::query::{OutputVerdict, QueryError, SettleHandle};
use acurast_events::bytes::{AssignmentId, Bytes};
use acurast_events::outputs::{Output, OutputSubmitted};
use acurast_events::units::{Execution, Offset, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{Attributes, NewRecord};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// When to ask again about an assignment that is not known yet, or an answer that is late, in seconds.
const RETRY_AFTER_S: &str = "1";

/// The request's body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputRequest {
    assignment_id: AssignmentId,
    execution: u64,
    payload: Bytes,
    signature: Bytes,
}

pub(super) async fn submit(State(state): State<Arc<ApiState>>, body: Result<Json<OutputRequest>, JsonRejection>) -> Response {
    let (result, response) = match body {
        Ok(Json(request)) => take(&state, request).await,
        Err(rejection) => {
            let status = rejection.status();
            let result = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "malformed" };
            (result, refused(status, &rejection.body_text()))
        }
    };
    state.metrics.outputs.get_or_create(&OutputLabels { result: result.to_owned() }).inc();
    response
}

async fn take(state: &ApiState, request: OutputRequest) -> (&'static str, Response) {
    if request.payload.0.len() > usize::try_from(state.payload_bytes_max).unwrap_or(usize::MAX) {
        return (
            "too_large",
            refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("the payload is longer than {} bytes", state.payload_bytes_max)),
        );
    }
    let output = Output {
        assignment_id: request.assignment_id,
        execution: Execution(request.execution),
        payload: request.payload,
        signature: request.signature,
    };
    for handle in &state.settle {
        match handle.check(output.clone()).await {
            Ok(OutputVerdict::UnknownAssignment) => {}
            Ok(verdict) => return decide(state, handle, output, verdict).await,
            Err(error) => return ("unavailable", later(&error.to_string())),
        }
    }
    ("unknown_assignment", later("the assignment is not known yet; it is once its acknowledgement is final"))
}

async fn decide(state: &ApiState, handle: &SettleHandle, output: Output, verdict: OutputVerdict) -> (&'static str, Response) {
    match verdict {
        OutputVerdict::Takes { owner } => match append(state, handle, owner, output.clone()).await {
            Ok(()) => match handle.check(output).await {
                Ok(OutputVerdict::Accepted(accepted)) => ("accepted", (StatusCode::OK, Json(accepted)).into_response()),
                Ok(OutputVerdict::Refused { reason } | OutputVerdict::Differs { reason, .. }) => {
                    ("refused", refused(StatusCode::CONFLICT, &reason))
                }
                Ok(_) => ("late", later("the output is stored and not decided yet; send it again")),
                Err(error) => ("unavailable", later(&error.to_string())),
            },
            Err(reason) => ("late", later(&reason)),
        },
        OutputVerdict::Accepted(accepted) => ("repeated", (StatusCode::OK, Json(accepted)).into_response()),
        OutputVerdict::Differs { owner, reason } => {
            // A second, validly signed output is evidence: stored, then refused.
            match append(state, handle, owner, output).await {
                Ok(()) => ("equivocated", refused(StatusCode::CONFLICT, &reason)),
                Err(reason) => ("late", later(&reason)),
            }
        }
        OutputVerdict::BadSignature(reason) => ("signature", refused(StatusCode::UNPROCESSABLE_ENTITY, &reason)),
        OutputVerdict::Refused { reason } => ("refused", refused(StatusCode::CONFLICT, &reason)),
        OutputVerdict::UnknownAssignment => ("unknown_assignment", later("the assignment is not known")),
    }
}

/// Appends the output to `outputs.v1` and waits until settle's record about it was read back.
async fn append(state: &ApiState, handle: &SettleHandle, owner: acurast_events::bytes::OwnerKey, output: Output) -> Result<(), String> {
    let at = Timestamp(crate::clock::now_ms());
    let value = OutputSubmitted { owner, output, at }.encode();
    let record = NewRecord { key: owner.0.to_vec(), value, attributes: Attributes::default() };
    let partition = state.outputs.partition(handle.partition());
    let offsets = state.journal.append(&partition, vec![record]).await.map_err(|error| error.to_string())?;
    let offset = offsets.last().copied().ok_or("the journal gave no position")?;
    match tokio::time::timeout(state.answer_max, handle.outputs_taken(Offset(offset.0))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(QueryError)) => Err("the relayer is stopping".to_owned()),
        Err(_) => Err("the output is stored and not decided yet; send it again".to_owned()),
    }
}

fn refused(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

fn later(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_S)], Json(json!({ "error": reason }))).into_response()
}

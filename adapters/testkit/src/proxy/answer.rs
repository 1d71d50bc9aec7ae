//! Answers that make no sense: pure functions of a sound one.
//!
//! Each result is one that no reader of the sound answer's type can take, so that whoever believes it has a fault of his
//! own. Answers that are well-formed and false are in [`super::lie`].

use super::draw::Draw;
use serde_json::{Value, json};

/// The largest number of hexadecimal digits that fit into 256 bits, and one more.
const HUGE_DIGITS: usize = 65;

/// The answer's bytes up to somewhere in the middle.
pub(super) fn truncated(answer: &Value, draw: &mut Draw) -> Vec<u8> {
    let mut bytes = answer.to_string().into_bytes();
    // Never empty and never whole: JSON that ends before its closing brace.
    let kept = draw.below(bytes.len().saturating_sub(1)).max(1);
    bytes.truncate(kept);
    bytes
}

/// The answer with a result of another type.
pub(super) fn of_another_type(answer: Value) -> Value {
    with_result(answer, |result| match result {
        Value::Object(_) => json!("0xzz"),
        Value::Array(_) => json!({ "items": 1 }),
        Value::Null => json!([[]]),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => json!([{ "value": true }]),
    })
}

/// The answer with numbers that fit into nothing; a result without a number becomes one.
pub(super) fn with_huge_numbers(answer: Value) -> Value {
    with_result(answer, |mut result| if enlarge(&mut result) { result } else { json!(huge()) })
}

/// The answer to another request.
pub(super) fn with_another_id(mut answer: Value) -> Value {
    if let Some(id) = answer.get_mut("id") {
        *id = match id.as_u64() {
            Some(number) => json!(number.wrapping_add(1_000_003)),
            None => json!("another"),
        };
    }
    answer
}

/// The answer with its result replaced; an error becomes a result.
pub(super) fn with_result(mut answer: Value, replace: impl FnOnce(Value) -> Value) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("error");
        let result = fields.remove("result").unwrap_or(Value::Null);
        fields.insert("result".into(), replace(result));
    }
    answer
}

fn huge() -> String {
    format!("0x{}", "f".repeat(HUGE_DIGITS))
}

/// Enlarges all quantities in it; whether there was one.
fn enlarge(value: &mut Value) -> bool {
    match value {
        Value::String(text) if is_quantity(text) => {
            *text = huge();
            true
        }
        // All of them, not up to the first.
        Value::Array(items) => items.iter_mut().filter_map(|item| enlarge(item).then_some(())).count() > 0,
        Value::Object(fields) => fields.values_mut().filter_map(|field| enlarge(field).then_some(())).count() > 0,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// `0x0`, or `0x` and digits without a leading zero: a number, not bytes of a fixed length.
fn is_quantity(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("0x") else { return false };
    (1..=32).contains(&digits.len()) && (digits == "0" || !digits.starts_with('0')) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn answers() -> Vec<Value> {
        [json!("0x10"), json!({ "number": "0x1", "hash": "0x00ff" }), json!(null), json!([]), json!(true), json!("0x00")]
            .into_iter()
            .map(|result| json!({ "jsonrpc": "2.0", "id": 7, "result": result }))
            .collect()
    }

    #[test]
    fn a_truncated_answer_is_never_json() {
        for answer in answers() {
            for n in 0..200 {
                let bytes = truncated(&answer, &mut Draw::new(n, "m", 0));
                assert!(serde_json::from_slice::<Value>(&bytes).is_err(), "{}", String::from_utf8_lossy(&bytes));
            }
        }
    }

    #[test]
    fn every_other_corruption_differs_from_the_sound_answer_and_is_json_rpc() {
        for answer in answers() {
            for changed in [of_another_type(answer.clone()), with_huge_numbers(answer.clone()), with_another_id(answer.clone())] {
                assert_ne!(changed, answer);
                assert!(changed.get("result").is_some() && changed.get("id").is_some(), "{changed}");
            }
        }
    }

    #[test]
    fn huge_numbers_fit_into_no_256_bits_and_hashes_stay() {
        let answer = json!({ "id": 1, "result": { "number": "0x1", "hash": "0x00ff" } });
        let changed = with_huge_numbers(answer);
        assert_eq!(changed["result"]["number"].as_str().unwrap().len(), 2 + 65);
        assert_eq!(changed["result"]["hash"], "0x00ff");
    }
}

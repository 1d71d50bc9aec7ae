//! Answers of the right form that are false, as a node under somebody else's control might give them.

use super::answer::with_result;
use serde_json::{Value, json};
use sha3::{Digest, Keccak256};

/// The answer that swallows a send: the right hash, and nothing sent. Nothing when the bytes can't be read.
pub(super) fn swallowed(method: &str, params: &Value) -> Option<Value> {
    if method != "eth_sendRawTransaction" {
        return None;
    }
    let digits = params.get(0)?.as_str()?.strip_prefix("0x")?;
    let bytes: Option<Vec<u8>> =
        digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let hash = Keccak256::digest(bytes?);
    Some(json!(hash.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))))
}

/// The false answer in place of the node's; nothing where it is left as it is.
pub(super) fn told(method: &str, answer: Value) -> Option<Value> {
    let lie: fn(Value) -> Value = match method {
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => |_| Value::Null,
        "eth_getLogs" => |_| json!([]),
        "eth_getBalance" => |_| json!("0x0"),
        "eth_getTransactionCount" => |_| json!("0x0"),
        "eth_call" => |result| json!(flipped(&result)),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => with_another_hash,
        _ => return None,
    };
    let changed = with_result(answer.clone(), lie);
    (changed != answer).then_some(changed)
}

/// The last digit of returned bytes, changed: one more word that is true where it was false, or off by some.
fn flipped(result: &Value) -> String {
    let mut text = result.as_str().unwrap_or("0x").to_owned();
    match text.pop() {
        Some('1') => text.push('0'),
        Some('x') => text.push('x'),
        Some(_) => text.push('1'),
        None => {}
    }
    text
}

fn with_another_hash(mut block: Value) -> Value {
    let changed = block.get("hash").map(flipped);
    if let (Some(fields), Some(hash)) = (block.as_object_mut(), changed) {
        fields.insert("hash".into(), json!(hash));
    }
    block
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_swallowed_send_is_answered_with_the_hash_of_its_bytes() {
        // keccak-256 of the empty string.
        assert_eq!(
            swallowed("eth_sendRawTransaction", &json!(["0x"])).unwrap(),
            "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
        assert_eq!(swallowed("eth_sendRawTransaction", &json!([7])), None);
        assert_eq!(swallowed("eth_call", &json!(["0x"])), None);
    }

    #[test]
    fn a_lie_has_the_form_of_the_truth() {
        let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": 1, "result": result });
        let hash = format!("0x{}", "ab".repeat(32));
        let block = told("eth_getBlockByNumber", answer(json!({ "hash": hash, "number": "0x1" }))).unwrap();
        let told_hash = block["result"]["hash"].as_str().unwrap();
        assert!(told_hash != hash && told_hash.len() == hash.len());
        assert_eq!(told("eth_call", answer(json!("0x01"))).unwrap()["result"], "0x00");
        assert_eq!(told("eth_getTransactionReceipt", answer(json!({}))).unwrap()["result"], Value::Null);
        assert_eq!(told("eth_chainId", answer(json!("0x1"))), None);
        assert_eq!(told("eth_getTransactionReceipt", answer(Value::Null)), None, "what it would say anyway is no lie");
    }
}

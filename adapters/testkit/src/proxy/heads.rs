//! What the node said of its head, so that it can be said again later.

use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// The methods that ask for the head, or may.
pub(super) const METHODS: [&str; 2] = ["eth_blockNumber", "eth_getBlockByNumber"];
/// So many different questions are remembered.
const QUESTIONS_MAX: usize = 16;
/// So many answers to each.
const ANSWERS_MAX: usize = 32;

/// Recent answers to questions for the head, oldest first.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<String, VecDeque<Value>>);

/// The question, when it is one for the head: the method with its parameters.
pub(super) fn question(method: &str, params: &Value) -> Option<String> {
    match method {
        "eth_blockNumber" => Some(method.to_owned()),
        "eth_getBlockByNumber" => {
            let tag = params.get(0)?.as_str()?;
            matches!(tag, "latest" | "safe" | "finalized" | "pending").then(|| format!("{method}{params}"))
        }
        _ => None,
    }
}

impl Heads {
    /// Remembers an answer's result, when it is another than the last.
    pub(super) fn record(&mut self, question: &str, result: &Value) {
        if !self.0.contains_key(question) && self.0.len() >= QUESTIONS_MAX {
            return;
        }
        let answers = self.0.entry(question.to_owned()).or_default();
        if answers.back() == Some(result) {
            return;
        }
        if answers.len() >= ANSWERS_MAX {
            answers.pop_front();
        }
        answers.push_back(result.clone());
    }

    /// The last answer.
    pub(super) fn last(&self, question: &str) -> Option<&Value> {
        self.0.get(question)?.back()
    }

    /// The answers before the last, oldest first.
    pub(super) fn earlier(&self, question: &str) -> Vec<&Value> {
        let answers = self.0.get(question).map(|answers| answers.iter().collect::<Vec<_>>()).unwrap_or_default();
        answers.split_last().map(|(_, earlier)| earlier.to_vec()).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_questions_for_the_head_are_remembered() {
        assert!(question("eth_blockNumber", &json!([])).is_some());
        assert!(question("eth_getBlockByNumber", &json!(["latest", false])).is_some());
        assert!(question("eth_getBlockByNumber", &json!(["0x10", false])).is_none());
        assert!(question("eth_getBalance", &json!(["0x10", "latest"])).is_none());
    }

    #[test]
    fn the_earlier_answers_are_all_but_the_last_different_one() {
        let mut heads = Heads::default();
        for head in ["0x1", "0x1", "0x2", "0x3", "0x3"] {
            heads.record("q", &json!(head));
        }
        assert_eq!(heads.earlier("q"), [&json!("0x1"), &json!("0x2")]);
        assert_eq!(heads.last("q"), Some(&json!("0x3")));
        assert!(heads.earlier("other").is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut heads = Heads::default();
        for question in 0..100 {
            for head in 0..100 {
                heads.record(&question.to_string(), &json!(head));
            }
        }
        assert_eq!(heads.0.len(), QUESTIONS_MAX);
        assert!(heads.0.values().all(|answers| answers.len() == ANSWERS_MAX));
    }
}

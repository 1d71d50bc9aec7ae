//! Transactions that nodes refuse, each for a reason of its own, and what a node says to them.

use acurast_adapter_evm::outcomes::{Family, read};
use acurast_adapter_evm::{Endpoint, RpcError};
use acurast_events::bytes::Bytes;
use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, Signature, TxKind, U256, keccak256};
use k256::ecdsa::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Longer requests are recorded by length and hash.
const REQUEST_BYTES_SHOWN: usize = 512;
/// Far below any base fee: what pays this waits in the pool for ever.
const WAITING_FEE: u128 = 1_000;
const GWEI: u128 = 1_000_000_000;
pub const ETHER: u128 = 1_000_000_000_000_000_000;

/// One request and the answer to it, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of an answer without error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    pub outcome: String,
}

/// What one client family said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Its answer to `web3_clientVersion`.
    pub client: String,
    pub answers: BTreeMap<String, Answer>,
}

impl Recording {
    fn path(family: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(format!("{family}.json"))
    }

    pub fn load(family: &str) -> Self {
        serde_json::from_str(&std::fs::read_to_string(Self::path(family)).unwrap()).unwrap()
    }

    /// Compares with what was recorded, or replaces it when `RECORD=1` says so. Only the answers count: another build of
    /// the same release names itself otherwise.
    pub fn check(&self, family: &str) {
        if std::env::var("RECORD").is_ok() {
            std::fs::write(Self::path(family), serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
        }
        let expected = Self::load(family).answers;
        assert_eq!(self.answers, expected, "the client's answers changed; look at each, then record anew with RECORD=1");
    }
}

/// A key of the tests; each case that must not meet another one's nonces has its own.
pub struct Sender(SigningKey);

impl Sender {
    pub fn new(byte: u8) -> Self {
        Self(SigningKey::from_slice(&[byte; 32]).unwrap())
    }

    pub fn address(&self) -> Address {
        Address::from_public_key(self.0.verifying_key())
    }

    pub fn sign(&self, transaction: TxEip1559) -> Bytes {
        let (signature, parity) = self.0.sign_prehash_recoverable(transaction.signature_hash().as_slice()).unwrap();
        Bytes(transaction.into_signed((signature, parity).into()).encoded_2718())
    }

    /// A transfer of nothing to oneself that pays enough for any block.
    pub fn transfer(&self, chain_id: u64, nonce: u64) -> TxEip1559 {
        TxEip1559 {
            chain_id,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 10 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: TxKind::Call(self.address()),
            ..TxEip1559::default()
        }
    }

    /// One that pays too little for any block and enough for the pool.
    pub fn waiting(&self, chain_id: u64, nonce: u64) -> TxEip1559 {
        TxEip1559 { max_fee_per_gas: WAITING_FEE, max_priority_fee_per_gas: WAITING_FEE, ..self.transfer(chain_id, nonce) }
    }
}

/// A real node to ask.
pub struct Node<'a> {
    pub endpoint: &'a Endpoint,
    pub family: Family,
    pub chain_id: u64,
    pub answers: BTreeMap<String, Answer>,
}

fn name(outcome: &acurast_adapter_api::SendOutcome) -> String {
    use acurast_adapter_api::SendOutcome::*;
    match outcome {
        Accepted => "accepted".to_owned(),
        AlreadyKnown => "already known".to_owned(),
        Rejected(reason) => format!("rejected: {}", label(reason)),
        SlotTooLow => "slot too low".to_owned(),
        SlotTooHigh => "slot too high".to_owned(),
        FeeTooLow => "fee too low".to_owned(),
        InsufficientFunds => "insufficient funds".to_owned(),
        Indeterminate(reason) => format!("indeterminate: {}", label(reason)),
    }
}

/// The label that a reason begins with.
fn label(reason: &str) -> &str {
    reason.split(':').next().unwrap()
}

/// How a family's answer is read, in a word.
pub fn reading(family: Family, code: i64, message: &str) -> String {
    let error =
        RpcError::Node { endpoint: "http://node".into(), method: "eth_sendRawTransaction", code, message: message.into(), data: None };
    name(&read(family, &error))
}

impl Node<'_> {
    pub async fn rpc(&self, method: &'static str, params: Value) -> Value {
        self.endpoint.call(method, params).await.unwrap()
    }

    /// Sends, and notes request and answer under this name.
    pub async fn ask(&mut self, case: &str, bytes: Bytes) {
        let request = if bytes.0.len() <= REQUEST_BYTES_SHOWN {
            bytes.to_string()
        } else {
            format!("{} bytes, keccak {}", bytes.0.len(), keccak256(&bytes.0))
        };
        let answer: Result<String, RpcError> = self.endpoint.call("eth_sendRawTransaction", json!([bytes])).await;
        let answer = match answer {
            Ok(result) => Answer { request, code: None, message: None, result: Some(result), outcome: "accepted".into() },
            Err(RpcError::Node { code, message, .. }) => {
                let outcome = reading(self.family, code, &message);
                Answer { request, code: Some(code), message: Some(message), result: None, outcome }
            }
            Err(other) => panic!("{case}: {other}"),
        };
        assert!(self.answers.insert(case.to_owned(), answer).is_none(), "{case} twice");
    }

    /// Sends what the node has to take.
    pub async fn take(&self, bytes: Bytes) -> Value {
        self.rpc("eth_sendRawTransaction", json!([bytes])).await
    }

    /// Everything that any node can be asked. `mined` is the funded sender's transaction at slot 0, which is mined; the
    /// senders of [`senders`] have an ether each and have sent nothing yet.
    pub async fn ask_everything(&mut self, relayer: &Sender, mined: Bytes, senders: Vec<Sender>) {
        let mut senders = senders.into_iter();
        let mut next = || senders.next().expect("as many as there are cases");
        let (chain_id, family) = (self.chain_id, self.family);
        self.ask("mined before", mined).await;
        let other = TxEip1559 { gas_limit: 22_000, ..relayer.transfer(chain_id, 0) };
        self.ask("slot used by another transaction", relayer.sign(other)).await;
        let waiting = relayer.pending(family, chain_id, 1);
        self.take(relayer.sign(waiting.clone())).await;
        self.ask("in the pool", relayer.sign(waiting.clone())).await;
        self.ask("replacement at the same price", relayer.sign(TxEip1559 { gas_limit: 22_000, ..waiting })).await;

        type Change = fn(TxEip1559) -> TxEip1559;
        let cases: [(&str, Change); 11] = [
            ("nonce with a gap before it", |usual| TxEip1559 { nonce: 7, ..usual }),
            ("the last nonce there is", |usual| TxEip1559 { nonce: u64::MAX, ..usual }),
            ("another chain", |usual| TxEip1559 { chain_id: 1, ..usual }),
            ("no priority fee", |usual| TxEip1559 { max_priority_fee_per_gas: 0, ..usual }),
            ("priority fee above the fee", |usual| TxEip1559 { max_priority_fee_per_gas: usual.max_fee_per_gas + 1, ..usual }),
            ("below the base fee", |usual| TxEip1559 { max_fee_per_gas: WAITING_FEE, max_priority_fee_per_gas: 1, ..usual }),
            ("gas below the intrinsic cost", |usual| TxEip1559 { gas_limit: 20_999, ..usual }),
            ("gas below the floor of its calldata", |usual| TxEip1559 { gas_limit: 40_000, input: vec![1; 1_000].into(), ..usual }),
            ("gas above the block's", |usual| TxEip1559 {
                gas_limit: 1 << 40,
                max_fee_per_gas: WAITING_FEE,
                max_priority_fee_per_gas: 1,
                ..usual
            }),
            ("more ether than the node lets pass", |usual| TxEip1559 { max_fee_per_gas: 100_000 * GWEI, ..usual }),
            ("longer than 128 KiB", |usual| TxEip1559 { gas_limit: 5_000_000, input: vec![0; 131_073].into(), ..usual }),
        ];
        for (case, change) in cases {
            let sender = next();
            self.ask(case, sender.sign(change(sender.transfer(chain_id, 0)))).await;
        }
        let poor = Sender::new(0x66);
        self.ask("no money", poor.sign(poor.transfer(chain_id, 0))).await;
        let saver = next();
        let spending = |nonce| TxEip1559 { value: U256::from(ETHER / 10 * 6), ..saver.pending(family, chain_id, nonce) };
        self.take(saver.sign(spending(0))).await;
        self.ask("money spent by what waits", saver.sign(spending(1))).await;

        let sender = next();
        let usual = sender.transfer(chain_id, 0);
        let unsigned = usual.clone().into_signed(Signature::new(U256::ZERO, U256::ZERO, false)).encoded_2718();
        let whole = sender.sign(usual).0;
        self.ask("a signature that is none", Bytes(unsigned)).await;
        self.ask("nothing", Bytes(Vec::new())).await;
        self.ask("no transaction", Bytes(vec![2, 0xc0])).await;
        self.ask("a kind that there isn't", Bytes(vec![0x7e, 0xc0])).await;
        self.ask("cut short", Bytes(whole[..whole.len() - 1].to_vec())).await;
        self.ask("something behind it", Bytes([whole.as_slice(), &[0]].concat())).await;
    }
}

/// Senders that [`Node::ask_everything`] needs, each for a case of its own.
pub fn senders() -> Vec<Sender> {
    (0xc1..=0xcd).map(Sender::new).collect()
}

impl Sender {
    /// What stays in the pool: anvil takes nothing below the base fee and mines only when told to.
    fn pending(&self, family: Family, chain_id: u64, nonce: u64) -> TxEip1559 {
        if family == Family::Anvil { self.transfer(chain_id, nonce) } else { self.waiting(chain_id, nonce) }
    }
}

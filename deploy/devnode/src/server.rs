//! One WebSocket connection: requests, batches of them, and subscriptions.
use crate::chain::Block;
use crate::rpc::{Node, Params, RpcError, Watcher, header_json};
use anyhow::Result;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// The node that all connections share.
pub type Shared = Arc<Mutex<Node>>;

/// Blocks that a subscriber may lag behind before it is dropped.
const LAG_MAX: usize = 4_096;
/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 64;
/// How long a read waits before new blocks are looked for.
const POLL: Duration = Duration::from_millis(5);

struct Subscription {
    id: String,
    note: &'static str,
    blocks: mpsc::Receiver<Arc<Block>>,
}

struct Connection {
    node: Shared,
    subscriptions: Vec<Subscription>,
    next_id: u64,
}

/// Serves one client until it leaves or its connection fails.
pub fn serve(node: Shared, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream.try_clone()?)?;
    stream.set_read_timeout(Some(POLL))?;
    let mut connection = Connection { node, subscriptions: vec![], next_id: 0 };
    loop {
        for subscription in &connection.subscriptions {
            while let Ok(block) = subscription.blocks.try_recv() {
                socket.send(note(subscription.note, &subscription.id, header_json(&block)).to_string().into())?;
            }
        }
        let text = match socket.read() {
            Ok(tungstenite::Message::Text(text)) => text,
            Ok(tungstenite::Message::Close(_)) => return Ok(()),
            Ok(_) => continue,
            Err(tungstenite::Error::Io(e)) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
            Err(e) => return Err(e.into()),
        };
        let (reply, notes) = match serde_json::from_str::<Value>(&text) {
            Ok(Value::Array(batch)) => {
                let (replies, notes): (Vec<Value>, Vec<Vec<Value>>) = batch.iter().map(|request| connection.answer(request)).unzip();
                (json!(replies), notes.concat())
            }
            Ok(request) => connection.answer(&request),
            Err(e) => (failure(&Value::Null, &RpcError { code: -32700, message: format!("not JSON: {e}") }), vec![]),
        };
        socket.send(reply.to_string().into())?;
        for note in notes {
            socket.send(note.to_string().into())?;
        }
    }
}

impl Connection {
    fn node(&self) -> MutexGuard<'_, Node> {
        // A panic elsewhere leaves the chain whole: every change of it is made after the work that can fail.
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reply to one request, and the notifications that must follow it.
    fn answer(&mut self, request: &Value) -> (Value, Vec<Value>) {
        let id = request.get("id").cloned().unwrap_or_default();
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            return (failure(&id, &RpcError { code: -32600, message: "a request needs a method".into() }), vec![]);
        };
        let params = request.get("params").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut notes = vec![];
        let result = match method {
            "chain_subscribeNewHead" | "chain_subscribeNewHeads" => self.subscribe(false, "chain_newHead"),
            "chain_subscribeAllHeads" => self.subscribe(false, "chain_allHead"),
            "chain_subscribeFinalizedHeads" => self.subscribe(true, "chain_finalizedHead"),
            "state_subscribeRuntimeVersion" => {
                // The runtime never changes here, so the first notification is the only one.
                self.next_id = self.next_id.saturating_add(1);
                let id = self.next_id.to_string();
                notes.push(note("state_runtimeVersion", &id, self.node().version.clone()));
                Ok(json!(id))
            }
            m if m.contains("_unsubscribe") => {
                let id = params.first().and_then(Value::as_str);
                self.subscriptions.retain(|subscription| Some(subscription.id.as_str()) != id);
                Ok(json!(true))
            }
            m => self.node().call(m, Params(params)),
        };
        let reply = match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(e) => failure(&id, &e),
        };
        (reply, notes)
    }

    fn subscribe(&mut self, finalized_only: bool, note: &'static str) -> Result<Value, RpcError> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(RpcError { code: -32000, message: format!("a connection may have {SUBSCRIPTIONS_MAX} subscriptions") });
        }
        let (sender, blocks) = mpsc::sync_channel(LAG_MAX);
        {
            let mut node = self.node();
            let first = if finalized_only { node.finalized() } else { node.chain.head() };
            if sender.try_send(first).is_ok() {
                node.watchers.push(Watcher { finalized_only, blocks: sender });
            }
        }
        self.next_id = self.next_id.saturating_add(1);
        let id = self.next_id.to_string();
        self.subscriptions.push(Subscription { id: id.clone(), note, blocks });
        Ok(json!(id))
    }
}

fn note(method: &str, id: &str, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": { "subscription": id, "result": result } })
}

fn failure(id: &Value, e: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": e.code, "message": e.message } })
}

//! A server with the documented part of Web3Signer's eth1 interface that a lane uses: the list of public keys and `sign`,
//! which hashes the data and signs with r ‖ s ‖ v. With TLS it asks for a client certificate.

use acurast_adapter_evm::LocalKey;
use acurast_events::bytes::EvmAddress;
use acurast_events::ids::keccak;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const KEY: &str = "8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63";

/// What a request is answered instead of the right thing.
#[derive(Debug, Clone)]
pub enum Reply {
    /// This status and body.
    Answer(u16, String),
    /// Nothing, ever.
    Silence,
}

#[derive(Default)]
struct Shared {
    reply: Mutex<Option<Reply>>,
    authorization: Mutex<Option<String>>,
    asked: AtomicUsize,
}

/// The server; ends with the value.
pub struct SignerServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for SignerServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn key() -> LocalKey {
    LocalKey::from_hex(KEY).unwrap()
}

pub fn address() -> EvmAddress {
    key().address()
}

/// Uncompressed, without the leading 04, as Web3Signer lists and names its keys.
pub fn public_key() -> String {
    let secret = SigningKey::from_slice(&hex::decode(KEY).unwrap()).unwrap();
    format!("0x{}", hex::encode(&secret.verifying_key().to_encoded_point(false).as_bytes()[1..]))
}

impl SignerServer {
    pub async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (state.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        // A handshake that fails is the client's to report.
                        Some(tls) => {
                            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, shared, task }
    }

    /// From now on every request is answered so.
    pub fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = Some(reply);
    }

    /// The right answers again.
    pub fn recover(&self) {
        *self.shared.reply.lock().unwrap() = None;
    }

    /// Only requests with this header are answered.
    pub fn require(&self, authorization: &str) {
        *self.shared.authorization.lock().unwrap() = Some(authorization.to_owned());
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    body: Value,
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        shared.asked.fetch_add(1, Ordering::Relaxed);
        let given = shared.reply.lock().unwrap().clone();
        let required = shared.authorization.lock().unwrap().clone();
        let (status, body) = match given {
            Some(Reply::Silence) => std::future::pending().await,
            Some(Reply::Answer(status, body)) => (status, body),
            None if required.is_some() && request.authorization != required => (401, String::new()),
            None => answer(&request),
        };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(request: &Request) -> (u16, String) {
    match (request.method.as_str(), request.path.strip_prefix("/api/v1/eth1/")) {
        ("GET", Some("publicKeys")) => (200, json!(["0x00", format!("0x{}", "11".repeat(64)), public_key()]).to_string()),
        ("POST", Some(path)) if path.strip_prefix("sign/") == Some(public_key().as_str()) => {
            let Some(data) = request.body["data"].as_str().and_then(|data| hex::decode(data.strip_prefix("0x")?).ok()) else {
                return (400, String::new());
            };
            (200, format!("0x{}", hex::encode(key().sign_rsv(&keccak(&[&data])).unwrap())))
        }
        _ => (404, String::new()),
    }
}

async fn read(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, path, authorization, body: serde_json::from_slice(&body).unwrap_or_default() })
}

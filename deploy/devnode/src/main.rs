//! A single-process development chain: it runs the genesis runtime of a raw parachain spec and serves JSON-RPC over WebSocket on the
//! loopback interface. It isn't a node of any network: it has no peers, no consensus and no disk.
mod args;
mod chain;
mod history;
mod inherents;
mod rpc;
mod scale;
mod server;
mod trie;
mod version;

use anyhow::{Context, Result};
use chain::Chain;
use rpc::Node;
use scale::to_hex;
use server::{Shared, serve};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Clients at once; one more is hung up on.
const CONNECTIONS_MAX: usize = 256;

fn main() -> Result<()> {
    let Some(args) = args::parse(std::env::args().skip(1))? else {
        println!("{}", args::USAGE);
        return Ok(());
    };
    let started = Instant::now();
    let spec = std::fs::read(&args.spec).with_context(|| format!("can't read the chain spec {}", args.spec.display()))?;
    let spec = serde_json::from_slice(&spec).with_context(|| format!("{} is not JSON", args.spec.display()))?;
    let clock_ms = match args.clock_ms {
        Some(clock_ms) => clock_ms,
        None => u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
    };
    let mut chain = Chain::from_spec(&spec, clock_ms)?;
    let genesis = chain.head();
    let version = version::runtime_version(&chain.query(&genesis, "Core_version", &[])?)?;
    let raw = chain.query(&genesis, "Metadata_metadata", &[])?;
    let metadata = raw.get(4..).context("the runtime returned no metadata")?.to_vec(); // without the length of OpaqueMetadata
    // Genesis has no timestamp; with one block on it, every client finds a time to start from.
    chain.build(&[])?;
    let node = Arc::new(Mutex::new(Node { chain, finality_lag: args.finality_lag, watchers: vec![], version, metadata }));

    let listener = TcpListener::bind(("127.0.0.1", args.port)).with_context(|| format!("can't listen on 127.0.0.1:{}", args.port))?;
    eprintln!("genesis {}; serving on ws://{} after {:?}", to_hex(genesis.hash), listener.local_addr()?, started.elapsed());
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::spawn(move || accept(&listener, &node));
    if let Some(signal) = signals.forever().next() {
        eprintln!("stopped by signal {signal}");
    }
    Ok(())
}

fn accept(listener: &TcpListener, node: &Shared) {
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) if connections.load(Ordering::Relaxed) < CONNECTIONS_MAX => stream,
            Ok(_) => continue,
            Err(e) => {
                eprintln!("a client could not connect: {e}");
                continue;
            }
        };
        connections.fetch_add(1, Ordering::Relaxed);
        let (node, connections) = (node.clone(), connections.clone());
        std::thread::spawn(move || {
            // A client that hangs up in the middle of something is everyday; nothing of it stays behind.
            let _ = serve(node, stream);
            connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

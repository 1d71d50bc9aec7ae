//! `acurast-fault-proxy`: stands between a client and a JSON-RPC node on loopback and injects faults.
//!
//! Prints `listening on ADDRESS` when it does, and `faults: JSON` with its counts when it is told to end. `GET /faults`
//! tells the counts meanwhile, `POST /faults` changes the plan.

use acurast_adapter_testkit::proxy::{Fault, FaultPlan, FaultProxy, Mode};
use clap::Parser;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};

/// Forwards JSON-RPC to a node and lets a share of the requests meet faults.
#[derive(Debug, Parser)]
#[command(name = "acurast-fault-proxy")]
struct Args {
    /// URL of the node.
    #[arg(long)]
    upstream: String,
    /// Loopback address to listen on; port 0 means any that is free.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the faults come from; the same seed, the same faults.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of the requests that meet a fault, thousandths.
    #[arg(long, default_value_t = 0)]
    faults_permille: u16,
    /// The faults that there are, by name or kind (all, drop, corrupt), separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    only: Vec<String>,
    /// The methods whose requests may meet one, separated by commas; all when absent.
    #[arg(long, value_delimiter = ',')]
    methods: Vec<String>,
    /// A delay is shorter than this, ms.
    #[arg(long, default_value_t = FaultPlan::default().delay_ms_max)]
    delay_ms_max: u64,
    /// What a refused request is told to wait, seconds.
    #[arg(long, default_value_t = FaultPlan::default().retry_after_seconds)]
    retry_after_seconds: u64,
    /// How the node seems to be as a whole: sound, frozen, dead, silent or lying.
    #[arg(long, default_value = "sound")]
    mode: Mode,
}

impl Args {
    fn plan(self) -> Result<FaultPlan, Box<dyn Error>> {
        let mut plan = FaultPlan {
            seed: self.seed,
            faults_permille: self.faults_permille,
            methods: self.methods.into_iter().collect(),
            delay_ms_max: self.delay_ms_max,
            retry_after_seconds: self.retry_after_seconds,
            mode: self.mode,
            ..FaultPlan::default()
        };
        plan.faults.clear();
        for word in &self.only {
            plan.faults.extend(Fault::named(word)?);
        }
        Ok(plan)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (upstream, listen) = (args.upstream.clone(), args.listen);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let proxy = FaultProxy::listen(&upstream, listen, args.plan()?).await?;
    // Whoever reads this may have closed its end; the proxy serves all the same.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "listening on {}", proxy.address()).and_then(|()| out.flush());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = writeln!(out, "faults: {}", serde_json::to_string(&proxy.status())?);
    Ok(())
}

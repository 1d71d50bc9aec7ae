//! A TCP proxy on loopback that forwards, holds everything back, or breaks all connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FORWARD: u8 = 0;
const STALL: u8 = 1;
const REFUSE: u8 = 2;

/// The network between a client and one broker.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    mode: AtomicU8,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
}

impl Proxy {
    /// Listens, and forwards to `target`.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { target, mode: AtomicU8::new(FORWARD), open: Mutex::default(), accepted: AtomicU64::new(0) });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                serving.accept(client.unwrap());
            }
        });
        Self { port, shared }
    }

    /// How many connections were forwarded.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Nothing gets through in either direction, and nobody is told.
    pub(crate) fn stall(&self) {
        self.shared.mode.store(STALL, Ordering::SeqCst);
    }

    /// Breaks all connections, and every new one.
    pub(crate) fn refuse(&self) {
        self.shared.mode.store(REFUSE, Ordering::SeqCst);
        self.reset();
    }

    /// Breaks all connections once.
    pub(crate) fn reset(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// All is well again. What was held back goes on.
    pub(crate) fn heal(&self) {
        self.shared.mode.store(FORWARD, Ordering::SeqCst);
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        if self.mode.load(Ordering::SeqCst) == REFUSE {
            return;
        }
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap().extend([client.try_clone().unwrap(), broker.try_clone().unwrap()]);
        for (from, to) in [(client.try_clone().unwrap(), broker.try_clone().unwrap()), (broker, client)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.forward(from, to));
        }
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            while self.mode.load(Ordering::SeqCst) == STALL {
                std::thread::sleep(Duration::from_millis(10));
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

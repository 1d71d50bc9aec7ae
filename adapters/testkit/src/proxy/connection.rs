//! A connection that a handler can end instead of answering: closed, or reset.
//!
//! An HTTP handler can only answer. So each connection carries a flag that its handlers may set; the first write after
//! that, which would be the answer, fails instead, and the server drops the connection.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Default)]
struct Flags {
    ended: AtomicBool,
    reset: AtomicBool,
}

/// Ends the connection that a request came on.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<Flags>);

impl Ending {
    /// The connection is closed without a byte of the answer.
    pub(super) fn close(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }

    /// The connection is reset without a byte of the answer.
    pub(super) fn reset(&self) {
        self.0.reset.store(true, Ordering::SeqCst);
        self.close();
    }
}

impl Connected<IncomingStream<'_, Connections>> for Ending {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.io().ending.clone()
    }
}

/// Where connections come from.
pub(super) struct Connections(pub(super) TcpListener);

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Connection { stream, ending: Ending::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection with its end in its handlers' hands.
pub(super) struct Connection {
    stream: TcpStream,
    ending: Ending,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.ending.0.ended.load(Ordering::SeqCst) {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        if self.ending.0.reset.load(Ordering::SeqCst) {
            // With nothing to linger for, closing the socket sends RST.
            self.stream.set_zero_linger()?;
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

//! Calls, in the same way through both kinds of clients.

use std::time::Duration;
use ttrpc::context::Context;

/// The reason for which a case fails.
pub type Failed = String;

pub const SERVICE: &str = "ttrpc.interop.Peer";

/// A client. Calls block their thread. The connection ends when the client is dropped.
pub trait Caller: Send + Sync {
    fn call(&self, ctx: Context, service: &str, method: &str, value: &[u8]) -> ttrpc::Result<Vec<u8>>;

    /// Makes a call and gives it up after the limit, with the result None. An asynchronous
    /// client does so without the server's knowledge, the other by a timeout.
    fn call_for(&self, limit: Duration, method: &str, value: &[u8]) -> Option<ttrpc::Result<Vec<u8>>>;

    /// Shuts down the client's socket, as a program does that has kept a duplicate of it.
    fn hang_up(&self);
}

/// Keeps a duplicate of a client's socket: the client owns its descriptor.
pub struct Socket(std::os::unix::net::UnixStream);

impl Socket {
    /// Connects, and returns the client's descriptor and the duplicate.
    pub fn connect(path: &str) -> Result<(i32, Socket), Failed> {
        use std::os::unix::io::IntoRawFd;
        let stream = std::os::unix::net::UnixStream::connect(path).map_err(|e| format!("connect: {}", e))?;
        let duplicate = stream.try_clone().map_err(|e| e.to_string())?;
        Ok((stream.into_raw_fd(), Socket(duplicate)))
    }

    pub fn hang_up(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

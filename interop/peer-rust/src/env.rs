//! The environment of a case, and the checks that cases share.

use crate::caller::{Caller, Failed, SERVICE};
use crate::{json, payload};
use std::time::{Duration, Instant};
use ttrpc::context::Context;
use ttrpc::{Code, Error};

/// Bounds each wait for an event that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Connects a client to a socket.
pub type Connect = fn(&str) -> Result<Box<dyn Caller>, Failed>;

pub struct Env {
    pub client: Box<dyn Caller>, // made for the case
    pub socket: String,
    pub server_program: String, // to start a server of one's own, to be killed
    pub leaks: usize,           // rounds in a row that must leave something at the server
    pub connect: Connect,
}

/// A server's account of itself.
pub struct Stats {
    pub handlers: i64,
    pub goroutines: i64,
    pub descriptors: i64,
}

impl Env {
    pub fn new(socket: &str, server_program: &str, leaks: usize, connect: Connect) -> Result<Env, Failed> {
        Ok(Env {
            client: connect(socket)?,
            socket: socket.to_string(),
            server_program: server_program.to_string(),
            leaks,
            connect,
        })
    }

    pub fn call(&self, method: &str, value: &[u8]) -> ttrpc::Result<Vec<u8>> {
        self.client.call(Context::default(), SERVICE, method, value)
    }

    /// Makes one Payload call and checks that the response is its own.
    pub fn exchange(&self, seq: usize, request_size: usize, response_size: usize) -> Result<(), Failed> {
        let got = self.call("Payload", &payload::request(seq, request_size, response_size)).map_err(shown)?;
        payload::check(&got, seq, response_size)
    }

    /// Checks that the connection still serves.
    pub fn alive(&self) -> Result<(), Failed> {
        match self.call("Empty", &[]) {
            Ok(_) => Ok(()),
            Err(e) => Err(format!("the connection no longer serves: {:?}", e)),
        }
    }

    pub fn wait_stats(&self, what: &str, ok: impl Fn(&Stats) -> bool) -> Result<(), Failed> {
        wait_stats(self.client.as_ref(), what, ok)
    }
}

/// Asks the server for its calls, threads of whichever kind, and descriptors.
pub fn stats(client: &dyn Caller) -> Result<Stats, Failed> {
    let value = client.call(Context::default(), SERVICE, "Stats", &[]).map_err(shown)?;
    let value = json::parse(&value)?;
    Ok(Stats {
        handlers: value.get("Handlers").number(),
        goroutines: value.get("Goroutines").number(),
        descriptors: value.get("Descriptors").number(),
    })
}

/// Waits until ok accepts the server's stats.
pub fn wait_stats(client: &dyn Caller, what: &str, ok: impl Fn(&Stats) -> bool) -> Result<(), Failed> {
    let start = Instant::now();
    loop {
        let s = stats(client)?;
        if ok(&s) {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!(
                "server: waited for {}: {} handlers, {} goroutines, {} descriptors",
                what, s.handlers, s.goroutines, s.descriptors
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn idle(s: &Stats) -> bool {
    s.handlers == 0
}

pub fn shown(e: Error) -> Failed {
    format!("{:?}", e)
}

/// Checks that the result is a status with the code.
pub fn want_code(result: &ttrpc::Result<Vec<u8>>, code: Code) -> Result<(), Failed> {
    match result {
        Err(Error::RpcStatus(s)) if s.get_code() == code => Ok(()),
        Ok(_) => Err(format!("got no error, want code {:?}", code)),
        Err(e) => Err(format!("got {:?}, want code {:?}", e, code)),
    }
}

/// Checks that a call ended by its own timeout. Either end may have noticed first: the
/// sync client has no status for that.
pub fn want_deadline(result: &ttrpc::Result<Vec<u8>>) -> Result<(), Failed> {
    match result {
        Err(Error::Others(text)) if text.contains("timed out") => Ok(()),
        _ => want_code(result, Code::DEADLINE_EXCEEDED),
    }
}

/// Checks that a call ended with its connection.
pub fn want_ended(result: &ttrpc::Result<Vec<u8>>) -> Result<(), Failed> {
    match result {
        Err(Error::RpcStatus(_)) | Ok(_) => Err(format!("got {:?}, want the error of an ended connection", result)),
        Err(_) => Ok(()),
    }
}

/// Runs f for callers 0..n at once; the first error wins.
pub fn concurrently(n: usize, f: impl Fn(usize) -> Result<(), Failed> + Sync) -> Result<(), Failed> {
    std::thread::scope(|scope| {
        let f = &f;
        let callers: Vec<_> = (0..n).map(|caller| scope.spawn(move || f(caller))).collect();
        let results = callers.into_iter().enumerate().map(|(i, c)| {
            c.join().map_err(|_| format!("caller {} panicked", i))?.map_err(|why| format!("caller {}: {}", i, why))
        });
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

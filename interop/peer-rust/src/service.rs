//! The service of the Go peer, for both kinds of servers.

use crate::{json, payload};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use ttrpc::{get_status, Code, Error};

/// The type of the details of a status; their values are strings.
pub const DETAIL_URL: &str = "type.example/ttrpc.interop.Detail";

/// How long Wait waits in a thread, which nothing tells of the end of its client.
const UNTOLD: Duration = Duration::from_secs(3);

pub struct Service {
    gate: Arc<Gate>,
    handlers: Arc<AtomicI64>, // that wait
}

/// The way on with a call that has begun.
pub enum Step {
    Done(ttrpc::Result<Vec<u8>>),
    Wait(Held),                 // until the caller's timeout, or its end
    Late(Held, Ticket),         // until Release
    ShutDown(Vec<u8>),          // the server, and respond with this
}

impl Service {
    pub const METHODS: [&'static str; 10] =
        ["Empty", "Payload", "Context", "Fail", "FailPlain", "Wait", "Late", "Release", "Shutdown", "Stats"];

    pub fn new() -> Arc<Service> {
        Arc::new(Service { gate: Arc::new(Gate::default()), handlers: Arc::new(AtomicI64::new(0)) })
    }

    pub fn begin(&self, method: &str, metadata: &HashMap<String, Vec<String>>, timeout_nano: i64, value: Vec<u8>) -> Step {
        match method {
            "Empty" => Step::Done(Ok(Vec::new())),
            "Payload" => Step::Done(checked(&value)),
            "Context" => Step::Done(Ok(context(metadata, timeout_nano))),
            "Fail" => Step::Done(Err(failure(&value))),
            "FailPlain" => Step::Done(Err(Error::Others("some plain text".to_string()))),
            "Wait" => Step::Wait(self.hold()),
            "Late" => {
                let ticket = self.gate.ticket(); // before it is counted
                Step::Late(self.hold(), ticket)
            }
            "Release" => {
                self.gate.open();
                Step::Done(Ok(Vec::new()))
            }
            "Shutdown" => {
                self.gate.open();
                checked(&value).map_or_else(|e| Step::Done(Err(e)), Step::ShutDown)
            }
            "Stats" => Step::Done(Ok(self.stats())),
            _ => panic!("no stub for {}", method),
        }
    }

    fn hold(&self) -> Held {
        self.handlers.fetch_add(1, Ordering::SeqCst);
        Held(self.handlers.clone())
    }

    fn stats(&self) -> Vec<u8> {
        let count = |dir: &str| std::fs::read_dir(dir).map_or(0, |entries| entries.count());
        let handlers = self.handlers.load(Ordering::SeqCst);
        format!(
            r#"{{"Handlers":{},"Goroutines":{},"Descriptors":{}}}"#,
            handlers,
            count("/proc/self/task"),
            count("/proc/self/fd")
        )
        .into_bytes()
    }
}

fn checked(request: &[u8]) -> ttrpc::Result<Vec<u8>> {
    payload::response(request).map_err(|why| Error::RpcStatus(get_status(Code::DATA_LOSS, why)))
}

fn context(metadata: &HashMap<String, Vec<String>>, timeout_nano: i64) -> Vec<u8> {
    let fields: Vec<String> =
        metadata.iter().map(|(key, values)| format!("{}:{}", json::quote(key), json::quote_list(values))).collect();
    format!(
        r#"{{"Metadata":{{{}}},"HasDeadline":{},"Remaining":{}}}"#,
        fields.join(","),
        timeout_nano != 0,
        timeout_nano
    )
    .into_bytes()
}

/// Returns the error that a Fail request asks for.
fn failure(request: &[u8]) -> Error {
    let value = match json::parse(request) {
        Ok(value) => value,
        Err(why) => return Error::Others(why),
    };
    let code = protobuf::ProtobufEnum::from_i32(value.get("Code").number() as i32).unwrap_or(Code::INTERNAL);
    let mut status = get_status(code, value.get("Message").text());
    for detail in value.get("Details").texts() {
        let mut any = ttrpc::ttrpc::Any::new();
        any.set_type_url(DETAIL_URL.to_string());
        any.set_value(detail.into_bytes());
        status.mut_details().push(any);
    }
    Error::RpcStatus(status)
}

/// Counts a handler that waits, until it is dropped.
pub struct Held(Arc<AtomicI64>);

impl Held {
    /// Waits until the caller's timeout.
    pub fn wait_blocking(&self, timeout_nano: i64) -> ttrpc::Result<Vec<u8>> {
        let (limit, code) = match timeout_nano {
            0 => (UNTOLD, Code::CANCELLED),
            n => (Duration::from_nanos(n as u64), Code::DEADLINE_EXCEEDED),
        };
        std::thread::sleep(limit);
        Err(Error::RpcStatus(get_status(code, "waited")))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Holds the late handlers back.
#[derive(Default)]
struct Gate {
    opened: Mutex<u64>, // how many times
    threads: Condvar,
    tasks: tokio::sync::Notify,
}

impl Gate {
    fn ticket(self: &Arc<Self>) -> Ticket {
        Ticket { gate: self.clone(), opened: *self.opened.lock().unwrap() }
    }

    fn open(&self) {
        *self.opened.lock().unwrap() += 1;
        self.threads.notify_all();
        self.tasks.notify_waiters();
    }
}

/// Waits until the gate opens after the ticket was made.
pub struct Ticket {
    gate: Arc<Gate>,
    opened: u64,
}

impl Ticket {
    pub fn wait_blocking(&self) {
        let opened = self.gate.opened.lock().unwrap();
        drop(self.gate.threads.wait_while(opened, |opened| *opened == self.opened));
    }

    pub async fn wait(&self) {
        loop {
            let notified = self.gate.tasks.notified(); // before the look
            if *self.gate.opened.lock().unwrap() != self.opened {
                return;
            }
            notified.await;
        }
    }
}

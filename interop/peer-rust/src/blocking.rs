//! The client and the server of ttrpc-rust that use threads.

use crate::caller::{Caller, Failed, Socket, SERVICE};
use crate::service::{Service, Step};
use crate::wire::BytesValue;
use protobuf::{CodedInputStream, CodedOutputStream, Message};
use std::collections::HashMap;
use std::os::unix::io::IntoRawFd;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ttrpc::context::{with_timeout, Context};

pub struct Client {
    client: Mutex<ttrpc::Client>, // is cloned for each call: threads cannot share it
    socket: Socket,
}

impl Client {
    pub fn connect(path: &str) -> Result<Client, Failed> {
        let (fd, socket) = Socket::connect(path)?;
        Ok(Client { client: Mutex::new(ttrpc::Client::new(fd)), socket })
    }
}

/// The stub of all methods.
struct Stub {
    client: ttrpc::Client,
}

impl Stub {
    fn call(&self, ctx: Context, service: &str, method: &str, value: &[u8]) -> ttrpc::Result<Vec<u8>> {
        let mut req = BytesValue::new();
        req.set_value(value.to_vec());
        let mut resp = BytesValue::new();
        ttrpc::client_request!(self, ctx, req, service, method, resp);
        Ok(resp.take_value())
    }
}

impl Caller for Client {
    fn call(&self, ctx: Context, service: &str, method: &str, value: &[u8]) -> ttrpc::Result<Vec<u8>> {
        let stub = Stub { client: self.client.lock().unwrap().clone() };
        stub.call(ctx, service, method, value)
    }

    /// Gives the call up by its timeout, of which the server knows.
    fn call_for(&self, limit: Duration, method: &str, value: &[u8]) -> Option<ttrpc::Result<Vec<u8>>> {
        let result = self.call(with_timeout(limit.as_nanos() as i64), SERVICE, method, value);
        match crate::env::want_deadline(&result) {
            Ok(()) => None,
            Err(_) => Some(result),
        }
    }

    fn hang_up(&self) {
        self.socket.hang_up();
    }
}

/// The stub of one method.
struct Method {
    service: Bound,
}

/// The service and the method that a stub calls.
struct Bound {
    service: Arc<Service>,
    method: &'static str,
    shut_down: Mutex<mpsc::Sender<()>>, // used by Shutdown
}

impl Bound {
    fn serve(&self, ctx: &ttrpc::TtrpcContext, mut req: BytesValue) -> ttrpc::Result<BytesValue> {
        let step = self.service.begin(self.method, &ctx.metadata, ctx.timeout_nano, req.take_value());
        let value = match step {
            Step::Done(result) => result?,
            Step::Wait(held) => held.wait_blocking(ctx.timeout_nano)?,
            Step::Late(held, gate) => {
                gate.wait_blocking();
                drop(held);
                Vec::new()
            }
            Step::ShutDown(value) => {
                self.shut_down.lock().unwrap().send(()).unwrap();
                value
            }
        };
        let mut resp = BytesValue::new();
        resp.set_value(value);
        Ok(resp)
    }
}

impl ttrpc::MethodHandler for Method {
    fn handler(&self, ctx: ttrpc::TtrpcContext, req: ttrpc::Request) -> ttrpc::Result<()> {
        ttrpc::request_handler!(self, ctx, req, wire, BytesValue, serve);
        Ok(())
    }
}

pub fn serve(path: &str) -> Result<(), Failed> {
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(|e| format!("bind: {}", e))?;
    let (shut_down, told) = mpsc::channel();
    let service = Service::new();
    let mut methods: HashMap<String, Box<dyn ttrpc::MethodHandler + Send + Sync>> = HashMap::new();
    for method in Service::METHODS {
        let bound = Bound { service: service.clone(), method, shut_down: Mutex::new(shut_down.clone()) };
        methods.insert(format!("/{}/{}", SERVICE, method), Box::new(Method { service: bound }));
    }
    let mut server = ttrpc::Server::new()
        .add_listener(listener.into_raw_fd())
        .map_err(|e| e.to_string())?
        .register_service(methods);
    server.start().map_err(|e| e.to_string())?;
    println!("ready");
    std::thread::spawn(|| {
        crate::until_parent_ends();
        std::process::exit(0);
    });
    let _ = told.recv();
    server.shutdown();
    std::process::exit(0);
}

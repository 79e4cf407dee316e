//! The client and the server of ttrpc-rust that use the tasks of tokio.

use crate::caller::{Caller, Failed, Socket, SERVICE};
use crate::service::{Service, Step};
use crate::wire::BytesValue;
use async_trait::async_trait;
use protobuf::{CodedInputStream, CodedOutputStream, Message};
use std::collections::HashMap;
use std::os::unix::io::IntoRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use ttrpc::context::Context;
use ttrpc::r#async::{MethodHandler, TtrpcContext};

pub struct Client {
    client: ttrpc::r#async::Client,
    socket: Socket,
    runtime: Runtime, // ends the client's tasks when it is dropped
}

fn runtime() -> Result<Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|e| e.to_string())
}

impl Client {
    pub fn connect(path: &str) -> Result<Client, Failed> {
        let (fd, socket) = Socket::connect(path)?;
        let runtime = runtime()?;
        let entered = runtime.enter();
        let client = ttrpc::r#async::Client::new(fd);
        drop(entered);
        Ok(Client { client, socket, runtime })
    }
}

/// The stub of all methods.
struct Stub {
    client: ttrpc::r#async::Client,
}

impl Stub {
    async fn call(&mut self, ctx: Context, service: &str, method: &str, value: &[u8]) -> ttrpc::Result<BytesValue> {
        let mut req = BytesValue::new();
        req.set_value(value.to_vec());
        let mut resp = BytesValue::new();
        ttrpc::async_client_request!(self, ctx, req, service, method, resp);
    }
}

impl Caller for Client {
    fn call(&self, ctx: Context, service: &str, method: &str, value: &[u8]) -> ttrpc::Result<Vec<u8>> {
        let mut stub = Stub { client: self.client.clone() };
        let result = self.runtime.block_on(stub.call(ctx, service, method, value));
        result.map(|mut resp| resp.take_value())
    }

    fn call_for(&self, limit: Duration, method: &str, value: &[u8]) -> Option<ttrpc::Result<Vec<u8>>> {
        let mut stub = Stub { client: self.client.clone() };
        let result = self.runtime.block_on(async {
            let call = stub.call(Context::default(), SERVICE, method, value);
            tokio::time::timeout(limit, call).await
        });
        result.ok().map(|result| result.map(|mut resp| resp.take_value()))
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
    shut_down: mpsc::UnboundedSender<()>, // used by Shutdown
}

impl Bound {
    async fn serve(&self, ctx: &TtrpcContext, mut req: BytesValue) -> ttrpc::Result<BytesValue> {
        let step = self.service.begin(self.method, &ctx.metadata, ctx.timeout_nano, req.take_value());
        let value = match step {
            Step::Done(result) => result?,
            Step::Wait(_held) => std::future::pending().await, // the library drops it
            Step::Late(held, gate) => {
                gate.wait().await;
                drop(held);
                Vec::new()
            }
            Step::ShutDown(value) => {
                let _ = self.shut_down.send(());
                value
            }
        };
        let mut resp = BytesValue::new();
        resp.set_value(value);
        Ok(resp)
    }
}

#[async_trait]
impl MethodHandler for Method {
    async fn handler(&self, ctx: TtrpcContext, req: ttrpc::Request) -> ttrpc::Result<(u32, Vec<u8>)> {
        ttrpc::async_request_handler!(self, ctx, req, wire, BytesValue, serve);
    }
}

pub fn serve(path: &str) -> Result<(), Failed> {
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(|e| format!("bind: {}", e))?;
    let (shut_down, mut told) = mpsc::unbounded_channel();
    let service = Service::new();
    let mut methods: HashMap<String, Box<dyn MethodHandler + Send + Sync>> = HashMap::new();
    for method in Service::METHODS {
        let bound = Bound { service: service.clone(), method, shut_down: shut_down.clone() };
        methods.insert(format!("/{}/{}", SERVICE, method), Box::new(Method { service: bound }));
    }
    std::thread::spawn(|| {
        crate::until_parent_ends();
        std::process::exit(0);
    });
    runtime()?.block_on(async {
        let mut server = ttrpc::r#async::Server::new()
            .set_domain_unix()
            .add_listener(listener.into_raw_fd())
            .map_err(|e| e.to_string())?
            .register_service(methods);
        server.start().await.map_err(|e| e.to_string())?;
        println!("ready");
        told.recv().await;
        server.shutdown().await.map_err(|e| e.to_string())?;
        std::process::exit(0);
    })
}

//! The cases of ends of connections and processes.

use crate::caller::{Caller, Failed, SERVICE};
use crate::env::{concurrently, idle, shown, stats, wait_stats, want_ended, Connect, Env};
use crate::payload::{self, REQUEST_HEADER};
use crate::process::{self, Process, TempDir};
use ttrpc::context::Context;

/// Is how many calls are open when one of the ends goes.
const HELD: usize = 8;

fn call(client: &dyn Caller, method: &str, value: &[u8]) -> ttrpc::Result<Vec<u8>> {
    client.call(Context::default(), SERVICE, method, value)
}

/// Runs f while calls to the method are open. The results of the calls must pass the
/// check.
fn with_calls(
    client: &dyn Caller,
    method: &str,
    check: impl Fn(&ttrpc::Result<Vec<u8>>) -> Result<(), Failed> + Sync,
    f: impl Fn() -> Result<(), Failed> + Sync,
) -> Result<(), Failed> {
    concurrently(HELD + 1, |caller| {
        if caller < HELD {
            return check(&call(client, method, &[])).map_err(|why| format!("a call in flight: {}", why));
        }
        wait_stats(client, "the calls to begin", |s| s.handlers >= HELD as i64)?;
        f()
    })
}

/// Checks a connection that has ended.
fn want_closed(client: &dyn Caller) -> Result<(), Failed> {
    want_ended(&call(client, "Empty", &[])).map_err(|why| format!("the next call: {}", why))
}

/// A client has no Close, and lives as long as its calls: the program shuts down the
/// socket.
pub fn close_in_call(env: &Env) -> Result<(), Failed> {
    want_nothing_left(env, || {
        let client = (env.connect)(&env.socket)?;
        with_calls(client.as_ref(), "Wait", want_ended, || {
            client.hang_up();
            Ok(())
        })?;
        want_closed(client.as_ref())
    })
}

/// Checks that the server holds no more after f, which ends a connection in some rude
/// way, than it held before.
fn want_nothing_left(env: &Env, f: impl Fn() -> Result<(), Failed>) -> Result<(), Failed> {
    let mut round = 1;
    loop {
        env.wait_stats("the calls of earlier cases to end", idle)?;
        let before = stats(env.client.as_ref())?;
        f()?;
        let what = format!("no more than {} goroutines, {} descriptors", before.goroutines, before.descriptors);
        let left = env.wait_stats(&what, |s| {
            idle(s) && s.goroutines <= before.goroutines && s.descriptors <= before.descriptors
        });
        if left.is_ok() || round >= env.leaks {
            return left;
        }
        round += 1;
    }
}

/// Gives f a server of its own, to kill, and a connection to it.
fn with_server(env: &Env, f: impl Fn(&mut Process, &dyn Caller) -> Result<(), Failed>) -> Result<(), Failed> {
    let dir = TempDir::new()?;
    let socket = format!("{}/s", dir.0);
    let mut server = process::start("ready", &env.server_program, &["serve", &socket])?;
    let client = (env.connect)(&socket)?;
    f(&mut server, client.as_ref())
}

/// Has a server shut down, and exit, while calls are in flight.
pub fn shutdown_in_call(env: &Env) -> Result<(), Failed> {
    with_server(env, |_, client| {
        let answered = |result: &ttrpc::Result<Vec<u8>>| match result {
            Ok(_) => Ok(()),
            Err(e) => Err(format!("{:?}", e)),
        };
        with_calls(client, "Late", answered, || {
            let size = 1 << 20;
            let got = call(client, "Shutdown", &payload::request(1, REQUEST_HEADER, size)).map_err(shown)?;
            payload::check(&got, 1, size)
        })?;
        want_closed_soon(client)
    })
}

/// Waits for the end of a connection whose server exits.
fn want_closed_soon(client: &dyn Caller) -> Result<(), Failed> {
    let start = std::time::Instant::now();
    loop {
        match want_closed(client) {
            Err(_) if start.elapsed() < crate::env::PATIENCE => {
                std::thread::sleep(std::time::Duration::from_millis(2))
            }
            result => return result,
        }
    }
}

pub fn server_killed_in_call(env: &Env) -> Result<(), Failed> {
    with_server(env, |server, client| {
        let server = std::sync::Mutex::new(server);
        with_calls(client, "Wait", want_ended, || {
            server.lock().unwrap().kill();
            Ok(())
        })?;
        want_closed(client)
    })
}

/// Runs this program as a client with open calls, and kills it.
pub fn client_killed_in_call(env: &Env) -> Result<(), Failed> {
    want_nothing_left(env, || {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let count = HELD.to_string();
        let args = ["hold", &env.socket, "unary", &count];
        let _holder = process::start("held", &program.to_string_lossy(), &args)?;
        env.wait_stats("the calls of the client to be killed", |s| s.handlers == HELD as i64)
    })
}

/// Is the client that client_killed_in_call kills.
pub fn hold(socket: &str, n: &str, connect: Connect) -> Result<(), Failed> {
    let n: usize = n.parse().map_err(|e| format!("{:?}: {}", n, e))?;
    let client = connect(socket)?;
    std::thread::scope(|scope| {
        for _ in 0..n {
            scope.spawn(|| call(client.as_ref(), "Wait", &[]));
        }
        wait_stats(client.as_ref(), "the calls to begin", |s| s.handlers >= n as i64)?;
        println!("held");
        crate::until_parent_ends();
        std::process::exit(0)
    })
}

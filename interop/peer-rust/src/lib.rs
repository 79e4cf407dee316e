//! The Rust end of the interop matrix: the unary cases and the service of the Go peer in
//! ../peer, over ttrpc-rust. The driver in the parent directory builds and runs it.
//!
//! A program is a peer with one of ttrpc-rust's two kinds of clients and servers. The
//! cases are the same for both: they call through the trait Caller.

pub mod blocking;
mod caller;
mod cases;
mod context_cases;
mod end_cases;
mod env;
mod json;
mod limit_cases;
mod payload;
mod process;
mod random;
mod service;
pub mod tasks;
mod wire;

pub use caller::{Caller, Failed};

use env::{Connect, Env};
use std::io::{BufRead, Read};

const USAGE: &str = "usage:
  rust-sync serve SOCKET                  serve until standard input ends
  rust-sync client SOCKET SERVER-PROGRAM LEAKS
                                          run the cases named on standard input
  rust-sync hold SOCKET unary N           keep N calls open until standard input ends
  rust-sync cases                         list the cases";

/// Runs the program. serve serves a socket and does not return; connect makes a client.
pub fn run(serve: fn(&str) -> Result<(), Failed>, connect: Connect) {
    // The driver asks Go peers for their stacks by this signal.
    unsafe { libc::signal(libc::SIGQUIT, libc::SIG_IGN) };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", socket] => serve(socket),
        ["client", socket, server, leaks] => run_cases(socket, server, leaks, connect),
        ["hold", socket, "unary", n] => end_cases::hold(socket, n, connect),
        ["cases"] => {
            cases::names().iter().for_each(|name| println!("{}", name));
            Ok(())
        }
        _ => {
            eprintln!("{}", USAGE);
            std::process::exit(2)
        }
    };
    if let Err(why) = result {
        eprintln!("peer: {}", why);
        std::process::exit(1);
    }
}

/// Answers each case named on standard input with a line on standard output: "ok", or
/// "fail" and the quoted reason. The driver limits the time.
fn run_cases(socket: &str, server: &str, leaks: &str, connect: Connect) -> Result<(), Failed> {
    let leaks = leaks.parse().map_err(|e| format!("leaks: {}", e))?;
    for name in std::io::stdin().lock().lines() {
        let name = name.map_err(|e| e.to_string())?;
        let result = Env::new(socket, server, leaks, connect).and_then(|env| cases::run(&name, &env));
        match result {
            Ok(()) => println!("ok"),
            Err(why) => println!("fail {}", json::quote(&why)),
        }
    }
    Ok(())
}

/// Blocks until standard input ends, which it does however the parent goes, so that no
/// peer outlives the driver.
fn until_parent_ends() {
    let mut rest = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut rest);
}

//! The table of cases, and those of single calls. ../../cases.go explains each.

use crate::caller::{Failed, SERVICE};
use crate::env::{concurrently, shown, want_code, Env};
use crate::payload::REQUEST_HEADER;
use crate::service::DETAIL_URL;
use crate::{context_cases, end_cases, json, limit_cases};
use ttrpc::context::Context;
use ttrpc::{Code, Error};

type Case = fn(&Env) -> Result<(), Failed>;

const CASES: &[(&str, Case)] = &[
    ("empty_unary", |env| env.call("Empty", &[]).map(drop).map_err(shown)),
    ("large_unary", |env| env.exchange(1, 271828, 314159)),
    ("messages_reset", |env| env.exchange(1, REQUEST_HEADER, 0)),
    ("concurrent_large_unary", concurrent_large_unary),
    ("concurrency_256", concurrency_256),
    ("status_code_and_message", status_code_and_message),
    ("special_status_message", special_status_message),
    ("status_details", status_details),
    ("plain_errors", plain_errors),
    ("unimplemented_method", |env| unimplemented(env, SERVICE, "Nothing")),
    ("unimplemented_service", |env| unimplemented(env, "ttrpc.interop.Nothing", "Empty")),
    ("custom_metadata", context_cases::custom_metadata),
    ("timeout_reaches_handler", context_cases::timeout_reaches_handler),
    ("timeout_on_sleeping_server", context_cases::timeout_on_sleeping_server),
    ("timeout_ends_handler", context_cases::timeout_ends_handler),
    ("expired_before_call", context_cases::expired_before_call),
    ("cancel_in_call", context_cases::cancel_in_call),
    ("late_responses", context_cases::late_responses),
    ("soak", context_cases::soak),
    ("limit_request_at", limit_cases::request_at),
    ("limit_request_over", limit_cases::request_over),
    ("limit_response_at", limit_cases::response_at),
    ("limit_response_over", limit_cases::response_over),
    ("close_in_call", end_cases::close_in_call),
    ("shutdown_in_call", end_cases::shutdown_in_call),
    ("server_killed_in_call", end_cases::server_killed_in_call),
    ("client_killed_in_call", end_cases::client_killed_in_call),
];

pub fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.0).collect()
}

pub fn run(name: &str, env: &Env) -> Result<(), Failed> {
    match CASES.iter().find(|case| case.0 == name) {
        Some(case) => case.1(env),
        None => Err("no such case in this build".to_string()),
    }
}

fn concurrent_large_unary(env: &Env) -> Result<(), Failed> {
    concurrently(16, |caller| {
        (0..3).try_for_each(|i| env.exchange(caller * 3 + i, 271828 - caller, 314159 + caller))
    })
}

fn concurrency_256(env: &Env) -> Result<(), Failed> {
    concurrently(256, |caller| {
        (0..8).try_for_each(|i| env.exchange(caller * 8 + i, REQUEST_HEADER + caller * i, 2048 - caller * i))
    })
}

/// Is the status that a client asks the server to end a call with.
struct Failure<'a> {
    code: i32,
    message: &'a str,
    details: Vec<String>,
}

impl Failure<'_> {
    fn check(&self, result: &ttrpc::Result<Vec<u8>>) -> Result<(), Failed> {
        let status = match result {
            Err(Error::RpcStatus(status)) => status,
            other => return Err(format!("got {:?}, want a status", other)),
        };
        let mut details = Vec::new();
        for detail in status.get_details() {
            if detail.get_type_url() != DETAIL_URL {
                return Err(format!("got a detail of type {:?}", detail.get_type_url()));
            }
            details.push(String::from_utf8_lossy(detail.get_value()).into_owned());
        }
        if status.get_code() as i32 != self.code || status.get_message() != self.message || details != self.details {
            return Err(format!("got {:.500?}, want {} {:?}", status, self.code, self.message));
        }
        Ok(())
    }
}

fn fail(env: &Env, code: i32, message: &str, details: &[String]) -> Result<(), Failed> {
    let failure = Failure { code, message, details: details.to_vec() };
    let request = format!(
        r#"{{"Code":{},"Message":{},"Details":{}}}"#,
        code,
        json::quote(message),
        json::quote_list(details)
    );
    failure.check(&env.call("Fail", request.as_bytes()))?;
    env.alive()
}

fn status_code_and_message(env: &Env) -> Result<(), Failed> {
    (1..=16).try_for_each(|code| fail(env, code, "test status message", &[]))
}

fn special_status_message(env: &Env) -> Result<(), Failed> {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    fail(env, Code::UNKNOWN as i32, message, &[])
}

fn status_details(env: &Env) -> Result<(), Failed> {
    let details = ["first".to_string(), String::new(), "third ☺".to_string(), "long".repeat(20000)];
    fail(env, Code::FAILED_PRECONDITION as i32, "with details", &details)
}

fn plain_errors(env: &Env) -> Result<(), Failed> {
    for (name, code, message) in [
        ("errors.New", Code::UNKNOWN, "some plain text"),
        ("wrapped", Code::UNKNOWN, "doing it: some plain text"),
        ("io.EOF", Code::OUT_OF_RANGE, "EOF"),
        ("canceled", Code::CANCELLED, "context canceled"),
        ("deadline", Code::DEADLINE_EXCEEDED, "context deadline exceeded"),
        ("not exist", Code::NOT_FOUND, "file does not exist"),
        ("exist", Code::ALREADY_EXISTS, "file already exists"),
        ("permission", Code::PERMISSION_DENIED, "permission denied"),
    ] {
        let want = Failure { code: code as i32, message, details: Vec::new() };
        want.check(&env.call("FailPlain", name.as_bytes())).map_err(|why| format!("{}: {}", name, why))?;
    }
    env.alive()
}

fn unimplemented(env: &Env, service: &str, method: &str) -> Result<(), Failed> {
    want_code(&env.client.call(Context::default(), service, method, &[]), Code::UNIMPLEMENTED)?;
    env.alive()
}

//! The cases of metadata, timeouts and calls that are given up.

use crate::caller::{Failed, SERVICE};
use crate::env::{concurrently, idle, shown, want_deadline, Env, PATIENCE};
use crate::json::{self, Value};
use crate::payload::{self, REQUEST_HEADER};
use crate::random::Random;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use ttrpc::context::{with_metadata, with_timeout, Context};

/// Is a timeout that is meant to expire.
const SHORT: Duration = Duration::from_millis(50);

const HOUR: Duration = Duration::from_secs(3600);

fn timeout(d: Duration) -> Context {
    with_timeout(d.as_nanos() as i64)
}

/// Asks which parts of the caller's context reached the handler.
fn context_of(env: &Env, ctx: Context) -> Result<Value, Failed> {
    json::parse(&env.client.call(ctx, SERVICE, "Context", &[]).map_err(shown)?)
}

pub fn custom_metadata(env: &Env) -> Result<(), Failed> {
    let long = "0123456789".repeat(5000);
    let mut metadata: HashMap<String, Vec<String>> = HashMap::new();
    for (key, values) in [
        ("x-grpc-test-echo-initial", &["test_initial_metadata_value"][..]),
        ("several", &["one", "two", "", "two", "three"]),
        ("unicode", &["☺ 😈", "\t\r\n"]),
        ("long", &[long.as_str()]),
    ] {
        metadata.insert(key.to_string(), values.iter().map(|value| value.to_string()).collect());
    }
    let got = context_of(env, with_metadata(metadata.clone()))?;
    let fields = match got.get("Metadata") {
        Value::Object(fields) => fields,
        other => return Err(format!("the handler got {:.300?}", other)),
    };
    let got: HashMap<String, Vec<String>> = fields.iter().map(|(key, values)| (key.clone(), values.texts())).collect();
    if got != metadata {
        return Err(format!("the handler got {:.300?}", got));
    }
    match context_of(env, Context::default())?.get("Metadata") {
        Value::Null => Ok(()),
        Value::Object(fields) if fields.is_empty() => Ok(()),
        other => Err(format!("the next call, without metadata, got {:.300?}", other)),
    }
}

pub fn timeout_reaches_handler(env: &Env) -> Result<(), Failed> {
    let got = context_of(env, timeout(HOUR))?;
    let remaining = got.get("Remaining").number();
    let least = (HOUR - Duration::from_secs(60)).as_nanos() as i64;
    if got.get("HasDeadline") != &Value::Bool(true) || remaining > HOUR.as_nanos() as i64 || remaining < least {
        return Err(format!("the handler got {:?}, want a little less than an hour", got));
    }
    match context_of(env, Context::default())? {
        got if got.get("HasDeadline") == &Value::Bool(false) => Ok(()),
        got => Err(format!("the next call, without a timeout, got {:?}", got)),
    }
}

/// Makes a call that lasts until its timeout.
fn timed_out(env: &Env) -> Result<(), Failed> {
    let start = Instant::now();
    let result = env.client.call(timeout(SHORT), SERVICE, "Wait", &[]);
    let spent = start.elapsed();
    if spent < SHORT || spent > PATIENCE {
        return Err(format!("the call took {:?}, want {:?}", spent, SHORT));
    }
    want_deadline(&result)
}

pub fn timeout_on_sleeping_server(env: &Env) -> Result<(), Failed> {
    timed_out(env)?;
    env.alive()
}

pub fn timeout_ends_handler(env: &Env) -> Result<(), Failed> {
    timed_out(env)?;
    env.wait_stats("the handler to end at its deadline", idle)
}

/// Makes a call with the shortest timeout: a client has no deadlines that could have
/// passed.
pub fn expired_before_call(env: &Env) -> Result<(), Failed> {
    want_deadline(&env.client.call(timeout(Duration::from_nanos(1)), SERVICE, "Wait", &[]))?;
    env.alive()
}

/// Gives up a call whose handler runs, without the server's knowledge.
pub fn cancel_in_call(env: &Env) -> Result<(), Failed> {
    env.wait_stats("the handlers of earlier cases to end", idle)?;
    std::thread::scope(|scope| {
        let call = scope.spawn(|| env.client.call_for(Duration::from_secs(1), "Wait", &[]));
        let begun = env.wait_stats("the call to begin", |s| s.handlers == 1);
        if let Some(result) = call.join().unwrap() {
            return Err(format!("got {:?} of a call that was given up", result));
        }
        begun
    })?;
    env.alive()
}

/// Gives up calls whose responses then come all the same.
pub fn late_responses(env: &Env) -> Result<(), Failed> {
    const N: usize = 16;
    env.wait_stats("the handlers of earlier cases to end", idle)?;
    concurrently(N + 1, |caller| {
        if caller == N {
            return env.wait_stats("the calls to begin", |s| s.handlers == N as i64);
        }
        match env.client.call_for(Duration::from_secs(1), "Late", &[]) {
            None => Ok(()),
            Some(result) => Err(format!("got {:?} of a call that was given up", result)),
        }
    })?;
    env.call("Release", &[]).map_err(shown)?;
    env.wait_stats("the late responses", idle)?;
    (0..32).try_for_each(|i| env.exchange(i, REQUEST_HEADER + i, i))
}

/// Makes calls of random sizes, some of which are given up or late.
pub fn soak(env: &Env) -> Result<(), Failed> {
    let end = Instant::now() + Duration::from_secs(1);
    concurrently(16, |caller| {
        let mut random = Random::new(caller);
        let mut n = 0;
        while Instant::now() < end {
            soak_call(env, &mut random).map_err(|why| format!("number {}: {}", n, why))?;
            n += 1;
        }
        Ok(())
    })?;
    env.alive()
}

fn soak_call(env: &Env, random: &mut Random) -> Result<(), Failed> {
    let size = |random: &mut Random| match random.below(20) {
        0 => random.below(100_000),
        _ => random.below(500),
    };
    let after = Duration::from_micros(1 + random.below(2000) as u64);
    let (seq, response_size) = (random.below(1_000_000), size(random));
    let request = payload::request(seq, REQUEST_HEADER + size(random), response_size);
    let result = match random.below(4) {
        0 => {
            let result = env.client.call(timeout(after), SERVICE, "Payload", &request);
            if want_deadline(&result).is_ok() {
                return Ok(());
            }
            result
        }
        1 => match env.client.call_for(after, "Payload", &request) {
            None => return Ok(()),
            Some(result) => result,
        },
        _ => env.call("Payload", &request),
    };
    payload::check(&result.map_err(shown)?, seq, response_size)
}

//! The cases of the longest messages, as in ../../peer/case_limits.go.

use crate::caller::{Failed, SERVICE};
use crate::env::{want_code, Env};
use crate::payload::{self, REQUEST_HEADER};
use std::io::{Read, Write};
use ttrpc::Code;

/// Is the most that the payload of a frame may have.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Is the length of a value that takes as many bytes for its length as the limit.
const NEARLY: usize = MESSAGE_LIMIT - 1024;

fn varint(mut n: usize) -> Vec<u8> {
    let mut b = Vec::new();
    while n >= 0x80 {
        b.push(n as u8 | 0x80);
        n >>= 7;
    }
    b.push(n as u8);
    b
}

/// Appends a protobuf field of bytes with a small number.
fn append_delimited(b: &mut Vec<u8>, number: u8, value: &[u8]) {
    b.push(number << 3 | 2);
    b.extend(varint(value.len()));
    b.extend_from_slice(value);
}

/// Is the size of such a field.
fn delimited(n: usize) -> usize {
    1 + varint(n).len() + n
}

/// Is the number of bytes around the payload of a Payload request of about the limit.
fn request_overhead() -> usize {
    delimited(SERVICE.len()) + delimited("Payload".len()) + delimited(delimited(NEARLY)) - NEARLY
}

pub fn request_at(env: &Env) -> Result<(), Failed> {
    env.exchange(1, MESSAGE_LIMIT - request_overhead(), 0)?;
    env.alive()
}

pub fn request_over(env: &Env) -> Result<(), Failed> {
    let request = payload::request(1, MESSAGE_LIMIT - request_overhead() + 1, 0);
    want_code(&env.call("Payload", &request), Code::RESOURCE_EXHAUSTED)?;
    env.alive()
}

pub fn response_at(env: &Env) -> Result<(), Failed> {
    env.exchange(1, REQUEST_HEADER, MESSAGE_LIMIT - response_overhead(env)?)?;
    env.alive()
}

pub fn response_over(env: &Env) -> Result<(), Failed> {
    let request = payload::request(1, REQUEST_HEADER, MESSAGE_LIMIT - response_overhead(env)? + 1);
    want_code(&env.call("Payload", &request), Code::RESOURCE_EXHAUSTED)?;
    env.alive()
}

/// Measures the number of bytes that the server puts around the payload of a response of
/// about the limit, with a call made by hand on a connection of its own.
fn response_overhead(env: &Env) -> Result<usize, Failed> {
    let mut message = Vec::new();
    append_delimited(&mut message, 1, &payload::request(1, REQUEST_HEADER, NEARLY));
    let mut request = Vec::new();
    append_delimited(&mut request, 1, SERVICE.as_bytes());
    append_delimited(&mut request, 2, b"Payload");
    append_delimited(&mut request, 3, &message);
    let mut frame = (request.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&[0, 0, 0, 1, 1, 0]); // a request on stream 1
    frame.extend(request);

    let exchange = || -> std::io::Result<(u8, usize)> {
        let mut stream = std::os::unix::net::UnixStream::connect(&env.socket)?;
        stream.write_all(&frame)?;
        let mut header = [0; 10];
        stream.read_exact(&mut header)?;
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        stream.read_exact(&mut vec![0; length])?;
        Ok((header[8], length))
    };
    match exchange().map_err(|e| e.to_string())? {
        (2, length) if length >= NEARLY && length <= NEARLY + 100 => Ok(length - NEARLY),
        (kind, length) => Err(format!("a frame of type {} with {} bytes for a response of {}", kind, length, NEARLY)),
    }
}

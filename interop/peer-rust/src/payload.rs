//! Payloads that show from which message they are, as in ../../peer/payload.go.

/// Precedes the payload of a Payload request: the number of the request and the size of
/// the response that it asks for.
pub const REQUEST_HEADER: usize = 16;

/// Is the payload of message number seq.
pub fn pattern(seq: usize, size: usize) -> Vec<u8> {
    let mut b: Vec<u8> = (0..size).map(|i| (seq * 131 + i * 7 + (i >> 8)) as u8).collect();
    if size >= 8 {
        b[..8].copy_from_slice(&(seq as u64).to_be_bytes());
    }
    b
}

pub fn check(got: &[u8], seq: usize, size: usize) -> Result<(), String> {
    if got.len() != size {
        return Err(format!("message {}: got {} bytes, want {}", seq, got.len(), size));
    }
    if got != &pattern(seq, size)[..] {
        return Err(format!("message {} of {} bytes: its bytes are another's", seq, size));
    }
    Ok(())
}

/// Makes a Payload request of size bytes in all.
pub fn request(seq: usize, size: usize, response_size: usize) -> Vec<u8> {
    let mut b = Vec::with_capacity(size);
    b.extend_from_slice(&(seq as u64).to_be_bytes());
    b.extend_from_slice(&(response_size as u64).to_be_bytes());
    b.extend(pattern(seq, size - REQUEST_HEADER));
    b
}

/// Checks a Payload request and makes its response.
pub fn response(request: &[u8]) -> Result<Vec<u8>, String> {
    if request.len() < REQUEST_HEADER {
        return Err(format!("request of {} bytes", request.len()));
    }
    let number = |at: usize| {
        let mut b = [0; 8];
        b.copy_from_slice(&request[at..at + 8]);
        u64::from_be_bytes(b) as usize
    };
    check(&request[REQUEST_HEADER..], number(0), request.len() - REQUEST_HEADER)?;
    Ok(pattern(number(0), number(8)))
}

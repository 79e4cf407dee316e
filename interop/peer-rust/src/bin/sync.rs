//! The peer with the threads of ttrpc-rust's sync client and server.

fn main() {
    peer_rust::run(peer_rust::blocking::serve, |socket| {
        Ok(Box::new(peer_rust::blocking::Client::connect(socket)?))
    });
}

//! The peer with the tasks of ttrpc-rust's async client and server.

fn main() {
    peer_rust::run(peer_rust::tasks::serve, |socket| {
        Ok(Box::new(peer_rust::tasks::Client::connect(socket)?))
    });
}

//! The two examples against each other, over a socket.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tailwater_rtmp::message::kind;

#[path = "../../examples/client.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a program of its own, with a main"
)]
mod client;
#[path = "../../examples/server.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a program of its own, with a main"
)]
mod server;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the server needs a thread of its own"
)]
fn the_example_server_gets_what_the_example_client_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut seen = Vec::new();
        server::serve(socket, |message| {
            let header = message.header;
            assert_eq!(header.kind, kind::AUDIO);
            seen.push((header.timestamp.0, message.payload.to_vec()));
        })
        .unwrap();
        seen
    });
    let socket = TcpStream::connect(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client::publish(socket).unwrap();
    let seen = serving.join().unwrap();
    assert_eq!(seen.len(), 44);
    assert_eq!(seen[0], (0, vec![0xAF, 0, 0x12, 0x10]));
    assert_eq!((seen[43].0, seen[43].1.len()), (998, 8));
}

//! A server that takes what is published and says what a test wants it to, byte for byte: what the
//! sessions of this crate would not say, or read more into.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a server on threads, one for each connection"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::{SOON, wait_for};
use tailwater::rtmp::amf0::Encoder;
use tailwater::rtmp::command::{Command, write_command};
use tailwater::rtmp::message::{MessageStreamId, kind};
use tailwater::rtmp::reader::{ChunkReader, ReaderLimits};

/// A command that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which connection, counted from 0.
    pub connection: usize,
    /// The command: connect, publish, FCUnpublish and the like.
    pub command: String,
    /// The app of connect, the name of publish and play.
    pub name: String,
    /// The tcUrl of connect.
    pub tc_url: String,
}

/// What a test says to a command: bytes, or None for what any server would.
type Script = Box<dyn Fn(&Said) -> Option<Vec<u8>> + Send + Sync>;

/// See the module text. It stops listening with the test.
pub struct Target {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    said: Mutex<Vec<Said>>,
    /// The connection, kind and body of each message of media.
    media: Mutex<Vec<(usize, u8, Vec<u8>)>>,
    sockets: Mutex<Vec<TcpStream>>,
    /// Connections that have ended.
    ended: Mutex<Vec<usize>>,
    stopped: Mutex<bool>,
}

impl Target {
    /// Starts one that answers every command as any server would.
    pub fn start() -> Self {
        Self::scripted(|_| None)
    }

    /// Starts one that answers with what `script` says.
    pub fn scripted(script: impl Fn(&Said) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let (own, script) = (shared.clone(), Arc::<Script>::new(Box::new(script)));
        thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                if *own.stopped.lock().expect("no test panicked") {
                    return;
                }
                let (shared, script) = (own.clone(), script.clone());
                let copy = socket.try_clone().expect("a descriptor");
                own.sockets.lock().expect("no test panicked").push(copy);
                thread::spawn(move || {
                    // However it ends, the test looks at what was heard.
                    let _: io::Result<()> = shared.serve(number, socket, &script);
                    shared.ended.lock().expect("no test panicked").push(number);
                });
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients have said so far.
    pub fn said(&self) -> Vec<Said> {
        self.shared.said.lock().expect("no test panicked").clone()
    }

    /// The names that were published so far, each with its connection.
    pub fn published(&self) -> Vec<(usize, String)> {
        let said = self.said().into_iter();
        let publishes = said.filter(|said| said.command == "publish");
        publishes.map(|said| (said.connection, said.name)).collect()
    }

    /// Waits until `count` publishes have come.
    #[track_caller]
    pub fn wait_published(&self, count: usize) {
        wait_for("publish at the target", SOON, || {
            (self.published().len() >= count).then_some(())
        });
    }

    /// Kind and body of the media that came on a connection.
    pub fn media(&self, connection: usize) -> Vec<(u8, Vec<u8>)> {
        let media = self.shared.media.lock().expect("no test panicked");
        let its = media.iter().filter(|(its, ..)| *its == connection);
        its.map(|(_, kind, body)| (*kind, body.clone())).collect()
    }

    /// Whether a connection has ended.
    pub fn has_ended(&self, connection: usize) -> bool {
        let ended = self.shared.ended.lock().expect("no test panicked");
        ended.contains(&connection)
    }

    /// Says something on a connection.
    pub fn say(&self, connection: usize, bytes: &[u8]) {
        let sockets = self.shared.sockets.lock().expect("no test panicked");
        let mut socket = &sockets[connection];
        socket.write_all(bytes).expect("the client is there");
    }

    /// Ends a connection.
    pub fn hang_up(&self, connection: usize) {
        let sockets = self.shared.sockets.lock().expect("no test panicked");
        // It may be gone already.
        let _: io::Result<()> = sockets[connection].shutdown(Shutdown::Both);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        *self.shared.stopped.lock().expect("no test panicked") = true;
        // Wakes the listener; it is going anyway.
        let _: io::Result<TcpStream> = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, number: usize, mut socket: TcpStream, script: &Script) -> io::Result<()> {
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut hello = [0; 1_537];
        socket.read_exact(&mut hello)?;
        socket.write_all(&[&[3], &[0; 1_536][..], &hello[1..]].concat())?;
        socket.read_exact(&mut hello[1..])?;
        let mut reader = ChunkReader::new(ReaderLimits::PUBLISHER);
        let mut buffer = vec![0; 65_536];
        loop {
            let count = socket.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let (input, mut at) = (&buffer[..count], 0);
            let broken = |error| io::Error::other(format!("{error}"));
            while let Some(message) = reader.next(input, &mut at).map_err(broken)? {
                let (header, body) = (message.header, message.payload.to_vec());
                match header.kind {
                    kind::SET_CHUNK_SIZE if body.len() >= 4 => {
                        let bytes = [body[0], body[1], body[2], body[3]];
                        let bytes = usize::try_from(u32::from_be_bytes(bytes));
                        reader.set_chunk_size(bytes.map_err(io::Error::other)?);
                    }
                    kind::COMMAND => socket.write_all(&self.answer(number, &body, script))?,
                    kind::AUDIO | kind::VIDEO | kind::DATA => {
                        let mut media = self.media.lock().expect("no test panicked");
                        media.push((number, header.kind, body));
                    }
                    _ => {}
                }
            }
            reader.hold(input);
        }
    }

    fn answer(&self, number: usize, body: &[u8], script: &Script) -> Vec<u8> {
        let Ok(Some(command)) = Command::decode(kind::COMMAND, body) else {
            return Vec::new();
        };
        let object = command.object().and_then(|value| value.as_object());
        let property = |key| object.and_then(|object| object.get(key)?.as_str());
        let name = match command.name {
            "connect" => property("app"),
            _ => command.argument(0).and_then(|value| value.as_str()),
        };
        let said = Said {
            connection: number,
            command: command.name.to_owned(),
            name: name.unwrap_or_default().to_owned(),
            tc_url: property("tcUrl").unwrap_or_default().to_owned(),
        };
        self.said
            .lock()
            .expect("no test panicked")
            .push(said.clone());
        script(&said).unwrap_or_else(|| match command.name {
            "connect" => result(command.transaction, |amf| {
                amf.null().begin_object();
                amf.string_property("code", "NetConnection.Connect.Success");
                amf.end_object();
            }),
            "createStream" => result(command.transaction, |amf| {
                amf.null().number(1.0);
            }),
            "publish" => status(
                MessageStreamId(1),
                "status",
                "NetStream.Publish.Start",
                |_| {},
            ),
            _ => Vec::new(),
        })
    }
}

fn result(transaction: f64, body: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    command(MessageStreamId::CONTROL, |amf| {
        amf.string("_result").number(transaction);
        body(amf);
    })
}

/// The bytes of a command.
pub fn command(msid: MessageStreamId, body: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_command(&mut bytes, msid, 128, body);
    bytes
}

/// The bytes of a status; `more` adds to its object.
pub fn status(
    msid: MessageStreamId,
    level: &str,
    code: &str,
    more: impl FnOnce(&mut Encoder<'_>),
) -> Vec<u8> {
    command(msid, |amf| {
        amf.string("onStatus").number(0.0).null().begin_object();
        amf.string_property("level", level);
        amf.string_property("code", code);
        amf.string_property("description", "as a test wants it");
        more(amf);
        amf.end_object();
    })
}

/// The bytes of a connect that is refused; `more` adds to its object.
pub fn refused_connect(description: &str, more: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    command(MessageStreamId::CONTROL, |amf| {
        amf.string("_error").number(1.0).null().begin_object();
        amf.string_property("level", "error");
        amf.string_property("code", "NetConnection.Connect.Rejected");
        amf.string_property("description", description);
        more(amf);
        amf.end_object();
    })
}

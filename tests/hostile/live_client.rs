//! Hostile servers against the running binary: each case is an origin that a stream is fetched
//! from, and a target that one is handed on to. A healthy stream is fetched from another origin
//! meanwhile, and one handed on to another target; they must not notice.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tailwater::rtmp::client::Action;

use super::case::{Case, End, Says};
use super::client_role::opening_with;
use super::closings::closing;
use super::live::{AT_ONCE, GROWTH_MAX, Healthy, PLAYERS, Peer, after};
use support::relay::Relay;
use support::wire::{Film, Wire};
use support::{SOON, now, pause, wait_for};

/// A server of one case.
struct Server {
    case: Case,
    action: Action,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    fn new(case: &Case, action: Action) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let case = match action {
            Action::Play => case.clone(),
            Action::Publish => of_target(case),
        };
        Self {
            case,
            action,
            listener,
            address,
        }
    }

    /// The app whose streams go there or come from there.
    fn app(&self) -> String {
        let role = match self.action {
            Action::Play => "from",
            Action::Publish => "to",
        };
        format!("{role}{}", self.address.port())
    }

    fn rule(&self) -> [String; 2] {
        let flag = match self.action {
            Action::Play => "--pull",
            Action::Publish => "--push",
        };
        [
            flag.to_owned(),
            format!("{}=rtmp://{}/live", self.app(), self.address),
        ]
    }

    /// Waits for the relay to call, and does what the case says.
    fn serve(&self, relay: SocketAddr) -> Result<(), String> {
        let mut client = Wire::connect_to(relay, &self.app(), "cam", self.action);
        if self.action == Action::Publish {
            client.until_status("NetStream.Publish.Start");
            let mut film = Film::new("hostile", 0);
            client.send_all(&film.headers_again(0));
            client.send_all(&film.group(2));
        }
        let until = now() + SOON;
        let socket = loop {
            // Sends what waits to be sent.
            client.next(Duration::from_millis(1));
            match self.listener.accept() {
                Ok((socket, _)) => break socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock && now() < until => {
                    pause(Duration::from_millis(1));
                }
                Err(error) => return Err(format!("the relay does not call: {error}")),
            }
        };
        let mut peer = Peer::on(socket).map_err(|error| error.to_string())?;
        let begun = match self.action {
            Action::Play => "NetStream.Play.Start",
            Action::Publish => "NetStream.Publish.Start",
        };
        peer.send(&opening_with(self.case.state, begun))?;
        peer.play(&self.case)
    }
}

/// The case as a target of pushes plays it: a client that publishes says so, and has little room
/// for what it is sent. What is media is not read, so that nothing in it can be wrong.
fn of_target(case: &Case) -> Case {
    const LITTLE_ROOM: [&str; 3] = [
        "unexpected",
        "message_too_long",
        "too_many_partial_messages",
    ];
    let mut case = case.clone();
    for says in &mut case.says {
        if *says == Says::Words("play") {
            *says = Says::Words("publish");
        }
    }
    case.end = match case.end {
        End::Closes(codes) if !codes.contains(&"aggregate") => {
            End::Closes([&codes[..], &LITTLE_ROOM].concat())
        }
        End::Closes(codes) | End::May(codes) => End::May([&codes[..], &LITTLE_ROOM].concat()),
        End::Lives | End::Open => End::May(LITTLE_ROOM.to_vec()),
    };
    case
}

/// Why the first connection to each address ended.
fn closings_in(log: &str) -> HashMap<SocketAddr, String> {
    let mut peers = HashMap::new();
    let mut found = HashMap::new();
    for line in log.lines() {
        if line.contains(" dialled stream=")
            && let (Some(id), Some(peer)) = (after(line, "conn="), after(line, " peer="))
        {
            if let (Ok(id), Ok(peer)) = (id.parse::<u64>(), peer.parse::<SocketAddr>()) {
                peers.insert(id, peer);
            }
        } else if let Some((id, code)) = closing(line)
            && let Some(peer) = peers.get(&id)
        {
            found.entry(*peer).or_insert_with(|| code.to_owned());
        }
    }
    found
}

/// Serves every case; what failed, by its place among them.
fn serve_all(relay: SocketAddr, servers: &[Server]) -> Vec<(usize, Result<(), String>)> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = Vec::new();
                    while let Some((index, server)) = {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        servers.get(index).map(|server| (index, server))
                    } {
                        served.push((index, server.serve(relay)));
                    }
                    served
                })
            })
            .collect();
        let served = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        served.collect()
    })
}

/// A relay with a rule for each server, and two for one that is good.
fn start(servers: &[Server], good: &Relay) -> Relay {
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
    let url = format!("rtmp://{}", good.address());
    flags.extend(["--pull".to_owned(), format!("live={url}")]);
    flags.extend(["--push".to_owned(), format!("out={url}/live")]);
    flags.extend(servers.iter().flat_map(Server::rule));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Relay::start(&flags)
}

/// Compares what the servers saw with what the relay says it did; what failed, by name.
fn judge(
    relay: &Relay,
    servers: &[Server],
    served: Vec<(usize, Result<(), String>)>,
) -> Vec<(String, String)> {
    let closings = wait_for("line of every close", SOON, || {
        let found = closings_in(&relay.log());
        let mut addresses = servers.iter().map(|server| server.address);
        addresses
            .all(|address| found.contains_key(&address))
            .then_some(found)
    });
    let mut failed = Vec::new();
    for (index, result) in served {
        let server = &servers[index];
        let (end, code) = (&server.case.end, &*closings[&server.address]);
        // A server that is done leaves, or its client does.
        let left = !end.must_close() && ["peer_closed", "io", "released"].contains(&code);
        let result = match result {
            Ok(()) if !left && !end.allows(code) => {
                Err(format!("closed with {code}, allowed: {end:?}"))
            }
            other => other.map_err(|why| format!("{why}; closed with {code}")),
        };
        let name = || format!("{} [{}]", server.case.name, server.app());
        failed.extend(result.err().map(|why| (name(), why)));
    }
    failed
}

/// Plays all cases in both roles; what failed, by name.
pub(crate) fn try_cases(cases: &[&Case]) -> Vec<(String, String)> {
    let roles = [Action::Play, Action::Publish];
    let servers: Vec<Server> = roles
        .iter()
        .flat_map(|&action| cases.iter().map(move |case| Server::new(case, action)))
        .collect();
    let good = Relay::start(&[]);
    let mut relay = start(&servers, &good);
    let address = relay.address();
    let mut failed = Vec::new();
    let fetched = Healthy::default();
    let handed_on = Healthy::default();
    let mut out = Wire::connect_to(address, "out", "pushed", Action::Publish);
    out.until_status("NetStream.Publish.Start");
    let publisher = Wire::publish(good.address(), "fetched");
    std::thread::scope(|scope| {
        let publishing = [
            scope.spawn(|| fetched.publish(publisher)),
            scope.spawn(|| handed_on.publish(out)),
        ];
        relay.wait_target(&format!("{}/live", good.address()), "pushes", |n| n == 1);
        let mut players = Vec::new();
        for _ in 0..PLAYERS {
            let (here, there) = (
                Wire::play(address, "fetched"),
                Wire::play(good.address(), "pushed"),
            );
            players.push(scope.spawn(|| fetched.play(here)));
            players.push(scope.spawn(|| handed_on.play(there)));
        }
        relay.wait_stat("pulls", 1);
        let memory = relay.resident_bytes();
        let served = serve_all(address, &servers);
        failed.extend(judge(&relay, &servers, served));
        let grown = relay.resident_bytes().saturating_sub(memory);
        println!("memory has grown by {grown} bytes");
        if grown > GROWTH_MAX {
            failed.push(("memory".to_owned(), format!("has grown by {grown} bytes")));
        }
        for healthy in [&fetched, &handed_on] {
            healthy.stop.store(true, Ordering::Relaxed);
        }
        for player in players {
            match player.join().unwrap() {
                Ok(last) => println!("a healthy player got all of {last} pictures"),
                Err(why) => failed.push(("a healthy player".to_owned(), why)),
            }
        }
        for publisher in publishing {
            publisher.join().unwrap();
        }
    });
    relay.stop();
    failed
}

/// The relay of these tests.
const FLAGS: [&str; 14] = [
    "--workers",
    "2",
    "--pace",
    "0",
    "--pull-timeout",
    "5",
    "--pull-give-up",
    "60",
    "--pull-linger",
    "0",
    "--play-wait",
    "0",
    "--grace",
    "0",
];

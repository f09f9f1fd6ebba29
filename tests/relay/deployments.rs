//! The deployments in README.md, run as they are written there.
//!
//! A block of `sh` begins with `# on HOST` and goes to a shell. The blocks without a language say
//! who publishes, plays, or finds what was pushed, and where. All hosts of a deployment are this
//! machine, so this much is replaced, nothing is left out, and nothing is added:
//!
//! ```text
//!   rtmp://HOST, rtmps://HOST   the address on which the relay of that host listens
//!   :1935                       127.0.0.1 and a free port, for a relay that follows on a host its
//!                               predecessor's
//!   10.0.0.5                    127.0.0.1, where the test is the balancer
//!   OLD                         the process id of the first relay of the host
//! ```
//!
//! Hosts that are called and have no block are relays that the test starts; the shell's
//! environment has it that the certificates of those are trusted.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::certificates::Authority;
use support::relay::{Relay, binary};
use support::wire::{Film, Media, Settings, Wire, open};
use support::{SOON, pause, scratch, wait_for};
use tailwater::rtmp::client::Action;
use tailwater::rtmp::message::kind;

/// A section of the README: what is run on which host, then who does what at which URL.
struct Deployment {
    commands: Vec<(String, String)>,
    uses: Vec<(String, String)>,
}

impl Deployment {
    fn read(title: &str) -> Self {
        let path = support::root().join("README.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, all) = text.split_once("\n## Deployments\n").unwrap();
        let all = all.split("\n## ").next().unwrap();
        let (_, section) = all.split_once(&format!("\n### {title}\n")).unwrap();
        let section = section.split("\n### ").next().unwrap();
        let (mut commands, mut uses) = (Vec::new(), Vec::new());
        for block in section.split("```").skip(1).step_by(2) {
            if let Some(block) = block.strip_prefix("sh\n# on ") {
                let (first, command) = block.split_once('\n').unwrap();
                let host = first.split(',').next().unwrap();
                commands.push((host.to_owned(), command.to_owned()));
            } else {
                let lines = block.lines().filter_map(|line| line.split_once("  "));
                uses.extend(lines.map(|(what, url)| (what.to_owned(), url.to_owned())));
            }
        }
        assert!(!commands.is_empty() && uses.len() >= 2, "{title}");
        Self { commands, uses }
    }
}

/// The hosts a command calls, and whether by TLS.
fn called_in(command: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for (scheme, tls) in [("rtmp://", false), ("rtmps://", true)] {
        for rest in command.split(scheme).skip(1) {
            let host = rest.split(['/', ',', ' ', '\n']).next().unwrap();
            found.push((host.to_owned(), tls));
        }
    }
    found
}

/// A deployment that runs, and who uses it. The fields go in their order: clients first.
struct Stage {
    publishers: Vec<Wire>,
    players: Vec<Wire>,
    film: Film,
    /// What each host runs, in the order of the start.
    relays: Vec<(String, Relay)>,
    addresses: BTreeMap<String, SocketAddr>,
    tls_addresses: BTreeMap<String, SocketAddr>,
    /// Hosts where clients come by way of the balancer.
    balanced: Vec<String>,
    authority: Authority,
    /// Commands for hosts that run a relay already, to be run later.
    later: Vec<(String, String)>,
}

impl Stage {
    /// Starts a deployment, and checks that what is published arrives where it should.
    #[track_caller]
    fn of(title: &str) -> Self {
        let deployment = Deployment::read(title);
        let mut stage = Self {
            publishers: Vec::new(),
            players: Vec::new(),
            film: Film::new(title, 0),
            relays: Vec::new(),
            addresses: BTreeMap::new(),
            tls_addresses: BTreeMap::new(),
            balanced: Vec::new(),
            authority: Authority::new(&scratch("deployment")),
            later: Vec::new(),
        };
        for (host, command) in deployment.commands {
            if stage.addresses.contains_key(&host) {
                stage.later.push((host, command));
            } else {
                stage.run(&host, &command);
            }
        }
        for (what, url) in deployment.uses {
            match what.as_str() {
                "publish" => {
                    let mut publisher = stage.connect(&url, Action::Publish);
                    publisher.until_status("NetStream.Publish.Start");
                    stage.publishers.push(publisher);
                }
                "play" | "arrives" => {
                    let player = stage.connect(&url, Action::Play);
                    stage.players.push(player);
                }
                other => panic!("{other} {url}"),
            }
        }
        let headers = stage.film.headers_again(0);
        stage.send(&headers);
        stage.show_a_group();
        stage.show_a_group();
        stage
    }

    /// Runs a command that becomes a relay.
    #[track_caller]
    fn run(&mut self, host: &str, command: &str) {
        for (called, tls) in called_in(command) {
            if !self.addresses.contains_key(&called) {
                self.run_other(&called, tls);
            }
        }
        if command.contains("--proxy-protocol") {
            self.balanced.push(host.to_owned());
        }
        let mut shell = self.shell(host, command);
        let relay = Relay::start_command(&mut shell, 1);
        self.addresses.insert(host.to_owned(), relay.address());
        self.relays.push((host.to_owned(), relay));
    }

    /// Starts what is called and is not in the README.
    fn run_other(&mut self, host: &str, tls: bool) {
        let [certificate, key] = self.authority.sign(host, host, 2);
        let mut flags = vec!["--log", "info"];
        if tls {
            flags.extend(["--listen-tls", "127.0.0.1:0"]);
            flags.extend(["--tls-cert", &certificate, "--tls-key", &key]);
        }
        let relay = Relay::start(&flags);
        if tls {
            let address = relay.tls_address();
            self.tls_addresses.insert(host.to_owned(), address);
        }
        self.addresses.insert(host.to_owned(), relay.address());
        self.relays.push((host.to_owned(), relay));
    }

    /// A shell with a command of the README, with what the module text says replaced.
    fn shell(&self, host: &str, command: &str) -> Command {
        let port = self.addresses.get(host).map_or(0, SocketAddr::port);
        let mut command = command
            .replace(":1935", &format!("127.0.0.1:{port}"))
            .replace("10.0.0.5", "127.0.0.1");
        for (scheme, addresses) in [("rtmp", &self.addresses), ("rtmps", &self.tls_addresses)] {
            for (name, at) in addresses {
                let url = format!("{scheme}://{name}");
                command = command.replace(&url, &format!("{scheme}://{at}"));
            }
        }
        if let Some((_, relay)) = self.relays.iter().find(|(name, _)| name == host) {
            command = command.replace("OLD", &relay.id().to_string());
        }
        assert!(!command.contains(".example"), "{command}");
        // A relay takes the place of the shell, so that signals reach it.
        let exec = if command.starts_with("tailwater ") {
            "exec "
        } else {
            ""
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("PATH=$0:$PATH\n{exec}{command}")]);
        shell.arg(Path::new(binary()).parent().unwrap());
        shell.env("SSL_CERT_FILE", self.authority.path());
        shell
    }

    /// A client of a URL of the README.
    #[track_caller]
    fn connect(&self, url: &str, action: Action) -> Wire {
        let (_, rest) = url.split_once("://").unwrap();
        let (host, rest) = rest.split_once('/').unwrap();
        let (app, stream) = rest.split_once('/').unwrap();
        let address = self.addresses[host];
        if !self.balanced.iter().any(|name| name == host) {
            return Wire::connect_to(address, app, stream, action);
        }
        assert_eq!((app, action), ("live", Action::Play), "{url}");
        let mut socket = open(address, None);
        socket
            .write_all(b"PROXY TCP4 192.0.2.1 198.51.100.1 4001 1935\r\n")
            .unwrap();
        Wire::play_over(socket, stream, &Settings::default())
    }

    /// All publishers send the same, as an encoder to its primary and its backup does.
    fn send(&mut self, messages: &[Media]) {
        for publisher in &mut self.publishers {
            publisher.send_all(messages);
        }
    }

    /// Publishes some more, which has to come to every player.
    #[track_caller]
    fn show_a_group(&mut self) {
        let group = self.film.group(4);
        self.send(&group);
        let last = group.last().and_then(Media::number).unwrap();
        for player in &mut self.players {
            player.until_number(kind::AUDIO, last);
        }
    }

    fn relay(&mut self, host: &str) -> &mut Relay {
        let mut relays = self.relays.iter_mut();
        let found = relays.find(|(name, _)| name == host);
        &mut found.unwrap().1
    }
}

#[test]
fn a_single_relay() {
    Stage::of("A single relay");
}

#[test]
fn an_edge_goes_on_with_the_other_origin() {
    let mut stage = Stage::of("An edge with origins");
    let names = ["origin-a.example", "origin-b.example"];
    let addresses = names.map(|name| stage.addresses[name].to_string());
    let line = stage
        .relay("edge.example")
        .wait_log(&["pull stream=\"live/film\""]);
    let first = usize::from(!line.contains(&addresses[0]));
    stage.publishers.remove(first);
    stage.relay(names[first]).kill();
    stage
        .relay("edge.example")
        .wait_log(&["pull stream=\"live/film\"", &addresses[1 - first]]);
    stage.show_a_group();
}

#[test]
fn one_publish_is_pushed_to_every_platform() {
    let mut stage = Stage::of("Pushing to several platforms");
    for host in ["one.example", "two.example"] {
        let address = stage.tls_addresses[host].to_string();
        stage
            .relay("relay.example")
            .wait_log(&["push stream=\"show/cam\"", &address]);
    }
}

#[test]
fn an_edge_behind_a_balancer_is_upgraded_without_a_connection_refused() {
    let mut stage = Stage::of("Behind a TCP load balancer");
    let (host, url) = ("edge.example", "rtmp://edge.example/live/film");
    // The balancer's health check.
    let check = open(stage.addresses[host], None);
    let port = check.local_addr().unwrap().port();
    drop(check);

    let later = std::mem::take(&mut stage.later);
    let [(_, start), (_, kill)] = &later[..] else {
        panic!("{later:?}");
    };
    let port_before = stage.addresses[host];
    stage.run(host, start);
    assert_eq!(stage.addresses[host], port_before);
    let status = stage.shell(host, kill).status().unwrap();
    assert!(status.success());
    for _ in 0..20 {
        let player = stage.connect(url, Action::Play);
        stage.players.push(player);
        pause(Duration::from_millis(80));
    }
    // The first player is still with the old one.
    stage.show_a_group();
    stage.show_a_group();
    assert!(!stage.relay(host).log().contains(&format!(":{port} ")));
    stage.players.clear();
    stage.relay(host).ended(SOON);
    let (_, new) = stage.relays.last().unwrap();
    wait_for("players of the new one", SOON, || {
        new.log()
            .contains("pull stream=\"live/film\"")
            .then_some(())
    });
    let player = stage.connect(url, Action::Play);
    stage.players.push(player);
    stage.show_a_group();
}

#[test]
fn the_systemd_unit_is_valid_and_that_of_the_readme() {
    let root = support::root();
    let unit = std::fs::read_to_string(root.join("deploy/tailwater.service")).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains(&format!("```ini\n{unit}```\n")));
    // The program has to be where the unit says.
    let installed = unit.replace("/usr/local/bin/tailwater", binary());
    assert_ne!(installed, unit);
    let file = scratch("unit").join("tailwater.service");
    std::fs::write(&file, &installed).unwrap();
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
        .expect("systemd-analyze of Debian's package systemd; scripts/test installs it");
    // Keys that it does not know are warnings to it.
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && said.is_empty(), "{said}");
    // To `verify` all of these are a matter of taste.
    let wanted = [
        "ExecReload=/bin/kill -HUP $MAINPID",
        "LoadCredential=tailwater.key",
        "RuntimeDirectory=tailwater",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    ];
    for setting in wanted {
        assert!(unit.lines().any(|line| line == setting), "{setting}");
    }
    // The settings that it names are there.
    for line in unit.lines().filter_map(|line| line.strip_prefix("#   ")) {
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        let mut options = tailwater::flags::OPTIONS.iter();
        assert!(options.any(|option| option.name == name), "no {name}");
    }
}

//! A network between the relay and its peers that can be cut: a namespace of its own, joined to
//! ours by a pair of virtual Ethernet interfaces. Cut means silence, as when a cable is pulled on
//! the far side: no FIN, no reset, no error.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// See the module text. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    namespace: String,
    near: String,
    far: String,
}

/// The interface's name inside.
const FAR: &str = "far0";

impl Network {
    /// A network that works.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let namespace = format!("tailwater-{pid}-{number}");
        let outside = format!("tw{}n{number}", pid % 1_000_000);
        let prefix = format!("10.{}.{}", 200 + pid / 256 % 50, pid % 256);
        let (near, far) = (
            format!("{prefix}.{}", 4 * number + 1),
            format!("{prefix}.{}/30", 4 * number + 2),
        );
        ip(&["netns", "add", &namespace]);
        let address = far.trim_end_matches("/30").to_owned();
        let network = Self {
            namespace,
            near,
            far: address,
        };
        let namespace = &*network.namespace;
        let near = format!("{}/30", network.near);
        ip(&[
            "link", "add", &outside, "type", "veth", "peer", "name", FAR, "netns", namespace,
        ]);
        ip(&["addr", "add", &near, "dev", &outside]);
        ip(&["link", "set", &outside, "up"]);
        ip(&["-n", namespace, "addr", "add", &far, "dev", FAR]);
        network.mend();
        network
    }

    /// Where the relay is to listen.
    pub(crate) fn listen(&self) -> String {
        format!("{}:0", self.near)
    }

    /// Where a relay inside is to listen.
    pub(crate) fn listen_inside(&self) -> String {
        format!("{}:0", self.far)
    }

    /// Inside, `address` is one of the machine's own from now on; IPv6.
    pub(crate) fn add_loopback(&self, address: &str) {
        let namespace = &*self.namespace;
        ip(&["-n", namespace, "link", "set", "lo", "up"]);
        let address = format!("{address}/128");
        ip(&[
            "-n", namespace, "addr", "add", &address, "dev", "lo", "nodad",
        ]);
    }

    /// Does something on the far side. Sockets made there stay there.
    pub(crate) fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter it");
                what()
            });
            inside.join().expect("what was to be done inside")
        })
    }

    /// Nothing gets through from now on, and nobody is told.
    pub(crate) fn cut(&self) {
        ip(&["-n", &self.namespace, "link", "set", FAR, "down"]);
    }

    /// Everything gets through again.
    pub(crate) fn mend(&self) {
        ip(&["-n", &self.namespace, "link", "set", FAR, "up"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The interfaces go with the namespace once its last socket is closed, or now.
        let _: std::io::Result<_> = Command::new("ip")
            .args(["-n", &self.namespace, "link", "del", FAR])
            .status();
        let _: std::io::Result<_> = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .status();
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        panic!("ip {arguments:?}: {error}; this test needs root and iproute2")
    });
    assert!(
        output.status.success(),
        "ip {arguments:?}: {}; this test needs root and network namespaces",
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

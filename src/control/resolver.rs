//! Names to addresses. The system's resolver blocks, so each name is looked up on a thread of
//! its own, which tells whoever asked when it is done; what was found is known for a while, and
//! a name that is being looked up is not looked up twice.

#![expect(
    clippy::disallowed_types,
    reason = "a table that threads write to and workers look at when they dial"
)]

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::limits;

/// The addresses of a name with a port, or why there are none.
pub type Found = Result<Vec<SocketAddr>, String>;

/// Called with what was found, from the thread that found it.
type Reply = Box<dyn FnOnce(Found) + Send>;

/// Finds the addresses of a host with a port, however long that takes.
type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// See the module text. Copies are of the same table.
#[derive(Clone)]
pub struct Resolver {
    look_up: Arc<LookUp>,
    table: Arc<Mutex<HashMap<(String, u16), Entry>>>,
}

enum Entry {
    /// Somebody is looking; these wait for it.
    Asked(Vec<Reply>),
    /// This was found then.
    Known(Vec<SocketAddr>, Instant),
}

impl Default for Resolver {
    /// One that asks the system.
    fn default() -> Self {
        Self::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }
}

impl Resolver {
    fn new(
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            look_up: Arc::new(look_up),
            table: Arc::default(),
        }
    }

    /// The addresses of `host` at once if it is one itself or known, else later by `reply`.
    pub fn find(
        &self,
        host: &str,
        port: u16,
        now: Instant,
        reply: impl FnOnce(Found) + Send + 'static,
    ) -> Option<Found> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Ok(vec![SocketAddr::new(address, port)]));
        }
        let key = (host.to_owned(), port);
        let mut table = self.lock();
        match table.get_mut(&key) {
            Some(Entry::Asked(replies)) => {
                replies.push(Box::new(reply));
                return None;
            }
            Some(Entry::Known(addresses, since)) if now - *since < limits::RESOLVED_KEPT => {
                return Some(Ok(addresses.clone()));
            }
            _ => {}
        }
        let is_asked = |entry: &Entry| matches!(entry, Entry::Asked(_));
        if table.values().filter(|entry| is_asked(entry)).count() >= limits::LOOKUPS_MAX {
            return Some(Err("too many names are being looked up".to_owned()));
        }
        table.retain(|_, entry| is_asked(entry) || entry.is_fresh(now));
        table.insert(key.clone(), Entry::Asked(vec![Box::new(reply)]));
        let (resolver, own) = (self.clone(), key.clone());
        // The table is locked until then, so that nobody waits for a thread that is not there.
        let started = start(move || resolver.look_up(own, now));
        started.err().map(|error| {
            table.remove(&key);
            Err(format!("no thread: {error}"))
        })
    }

    fn look_up(&self, key: (String, u16), now: Instant) {
        let (host, port) = (key.0.as_str(), key.1);
        let found = match (self.look_up)(host, port) {
            Ok(addresses) => Ok(alternate(addresses)),
            Err(error) => Err(format!("{host}: {error}")),
        };
        let mut table = self.lock();
        let before = match &found {
            // The answer was on its way for a while; it counts from when it was asked for.
            Ok(addresses) => table.insert(key, Entry::Known(addresses.clone(), now)),
            Err(_) => table.remove(&key),
        };
        drop(table);
        if let Some(Entry::Asked(replies)) = before {
            for reply in replies {
                reply(found.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, u16), Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        match self {
            Self::Asked(_) => true,
            Self::Known(_, since) => now.saturating_duration_since(*since) < limits::RESOLVED_KEPT,
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver({} names)", self.lock().len())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what blocks has a thread of its own"
)]
fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new().name("resolver".to_owned());
    builder.spawn(work).map(drop)
}

/// Addresses of both families in turn, in the order in which they came otherwise: when one
/// family does not work, the second try does.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut mixed = Vec::new();
    for address in one {
        mixed.push(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_address_is_its_own_answer() {
        let resolver = Resolver::default();
        for host in ["127.0.0.1", "::1"] {
            let found = resolver.find(host, 1935, now(), |_| panic!("it is known"));
            let address = SocketAddr::new(host.parse().unwrap(), 1935);
            assert_eq!(found, Some(Ok(vec![address])));
        }
    }

    #[test]
    fn a_name_is_found_later_and_then_known() {
        let resolver = Resolver::default();
        let (tell, told) = mpsc::channel();
        let found = resolver.find("localhost", 7, now(), move |found| {
            tell.send(found).unwrap();
        });
        assert_eq!(found, None);
        let found = told.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        assert!(found.iter().all(|address| address.port() == 7) && !found.is_empty());
        let again = resolver.find("localhost", 7, now(), |_| panic!("it is known"));
        assert_eq!(again, Some(Ok(found)));
    }

    #[test]
    fn a_name_that_is_not_there_is_told_and_not_remembered() {
        let resolver = Resolver::default();
        let (tell, told) = mpsc::channel();
        let name = "nothing.invalid";
        assert!(
            resolver
                .find(name, 7, now(), move |found| {
                    tell.send(found).unwrap();
                })
                .is_none()
        );
        assert!(told.recv_timeout(Duration::from_secs(30)).unwrap().is_err());
        assert!(resolver.lock().is_empty());
    }

    #[test]
    fn a_name_that_takes_long_delays_those_alone_who_wait_for_it() {
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let (look, looked) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        let resolver = Resolver::new(move |host, port| {
            look.send(host.to_owned()).unwrap();
            if host == "slow" {
                may_go_on.lock().unwrap().recv().unwrap();
            }
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        });
        let (tell, told) = mpsc::channel();
        let ask = |host: &'static str| {
            let tell = tell.clone();
            resolver.find(host, 7, now(), move |found| {
                tell.send((host, found.is_ok())).unwrap();
            })
        };
        let limit = Duration::from_secs(10);
        assert_eq!(ask("slow"), None);
        assert_eq!(looked.recv_timeout(limit).unwrap(), "slow");
        assert_eq!(ask("slow"), None, "asked twice, looked up once");
        assert_eq!(ask("quick"), None);
        assert_eq!(told.recv_timeout(limit).unwrap(), ("quick", true));
        assert!(ask("quick").is_some() && ask("127.0.0.1").is_some());
        assert!(told.try_recv().is_err(), "nobody was told of the slow one");
        go_on.send(()).unwrap();
        for _ in 0..2 {
            assert_eq!(told.recv_timeout(limit).unwrap(), ("slow", true));
        }
        assert_eq!(looked.try_iter().collect::<Vec<_>>(), ["quick"]);
    }

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = alternate(vec![
            address("[::1]:1"),
            address("[::2]:1"),
            address("10.0.0.1:1"),
            address("[::3]:1"),
        ]);
        let expected = ["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"].map(address);
        assert_eq!(mixed, expected);
    }
}

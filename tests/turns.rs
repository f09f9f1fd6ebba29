//! What others may take of a turn of a worker, in which everybody is served: a clock that goes on
//! while they do tells.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, and says where"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::worker::any_instant;
use tailwater::config::Config;
use tailwater::limits;
use tailwater::net::transport::Transport;
use tailwater::worker::core::Core;
use tailwater::worker::ids::WorkerId;
use tailwater::worker::shared::Shared;
use tailwater::worker::turn::Clock;

/// What one step of a handshake takes: a signature with RSA 2048, about.
const STEP: Duration = Duration::from_millis(1);

/// The time, which passes where something is computed.
#[derive(Clone)]
struct Passing {
    begun: Instant,
    /// Since then, in ms.
    passed: Arc<AtomicU64>,
}

impl Clock for Passing {
    fn now(&mut self) -> Instant {
        self.begun + Duration::from_millis(self.passed.load(Ordering::Relaxed))
    }
}

/// A socket within its handshake, of which each read computes a step.
#[derive(Debug)]
struct Shaking {
    passed: Arc<AtomicU64>,
    steps: u32,
}

impl Read for Shaking {
    fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
        let step = u64::try_from(STEP.as_millis()).unwrap();
        self.passed.fetch_add(step, Ordering::Relaxed);
        self.steps += 1;
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Shaking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Shaking {
    fn shutdown_write(&mut self) {}

    fn is_handshaking(&self) -> bool {
        true
    }
}

#[test]
fn regression_handshakes_have_a_bounded_part_of_a_turn() {
    let mut clock = Passing {
        begun: any_instant(),
        passed: Arc::default(),
    };
    let shared = Arc::new(Shared::new(Config::default(), 1, 1_000));
    let mut core = Core::new(WorkerId::FIRST, shared, 7, clock.now());
    let keys: Vec<_> = (1..=100)
        .map(|last| {
            let socket = Shaking {
                passed: clock.passed.clone(),
                steps: 0,
            };
            core.accept(socket, ([10, 0, 0, last], 1).into()).unwrap()
        })
        .collect();
    for &key in &keys {
        core.on_ready(key, true, false);
    }
    let mut turns = 0;
    let steps = |core: &mut Core<Shaking>| -> u32 {
        keys.iter()
            .map(|&key| core.socket_mut(key).unwrap().steps)
            .sum()
    };
    while steps(&mut core) < 100 {
        let before = clock.now();
        core.turn(&mut clock);
        let taken = clock.now() - before;
        assert!(taken <= limits::HANDSHAKE_TURN, "{taken:?} in one turn");
        assert!(
            core.has_leftovers() || steps(&mut core) == 100,
            "turn {turns}"
        );
        turns += 1;
    }
    // Everybody has had a step, as soon as may be.
    let all = STEP * 100;
    assert_eq!(Duration::from_millis(5) * turns, all, "{turns} turns");
}

//! The registry and the mail that goes with it, in every order: a publisher on one worker and a
//! player on another always find each other, and nothing stays behind when both are gone.

use loom::sync::Arc;
use loom::thread;
use tailwater_models::worker::ids::WorkerId;
use tailwater_models::worker::registry::{Claim, Registry};

const PUBLISHER: WorkerId = WorkerId::FIRST;

fn player() -> WorkerId {
    WorkerId::new(1)
}

fn name() -> std::sync::Arc<str> {
    "live/cam".into()
}

/// Whether the worker of the publisher learns of the player by its claim.
fn claim(registry: &Registry) -> bool {
    match registry.claim(&name(), PUBLISHER, true, None) {
        Claim::Own { readers, .. } => readers.iter().any(|worker| worker == player()),
        other => panic!("nobody else claims it: {other:?}"),
    }
}

#[test]
fn a_publish_and_a_play_at_the_same_time_find_each_other_once() {
    loom::model(|| {
        let registry = Arc::new(Registry::new(None));
        let publisher = {
            let registry = registry.clone();
            thread::spawn(move || claim(&registry))
        };
        // The worker of the player subscribes when it is told who has the stream.
        let owner = registry.join(&name(), player());
        let subscribes = owner.is_some_and(|owner| owner.worker == PUBLISHER);
        let feeds = publisher.join().unwrap();
        assert!(
            feeds != subscribes,
            "feeds {feeds}, subscribes {subscribes}"
        );
    });
}

#[test]
fn nothing_is_left_when_both_have_gone_in_any_order() {
    loom::model(|| {
        let registry = Arc::new(Registry::new(None));
        let publisher = {
            let registry = registry.clone();
            thread::spawn(move || {
                claim(&registry);
                registry.release(&name(), PUBLISHER);
            })
        };
        registry.join(&name(), player());
        registry.leave(&name(), player());
        publisher.join().unwrap();
        assert!(registry.is_empty());
    });
}

#[test]
fn of_two_publishers_one_owns_and_the_other_is_sent_to_it() {
    loom::model(|| {
        let registry = Arc::new(Registry::new(None));
        let other = {
            let registry = registry.clone();
            thread::spawn(move || registry.claim(&name(), player(), true, None))
        };
        let one = registry.claim(&name(), WorkerId::FIRST, true, None);
        let other = other.join().unwrap();
        match (one, other) {
            (Claim::Own { .. }, Claim::Elsewhere { worker }) if worker == PUBLISHER => {}
            (Claim::Elsewhere { worker }, Claim::Own { .. }) if worker == player() => {}
            both => panic!("{both:?}"),
        }
    });
}

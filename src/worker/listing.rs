//! Which rows a page of a sorted list has, from the keys that all workers tell. Only those rows are
//! then looked at closely, so that a page costs little more however long the list is.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::limits;
use crate::report::{ClientKey, Cursor, Page, State, StreamKey, Told};

/// A list that is being asked for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) page: Page,
    /// Only streams in this state, which is known when all workers have told theirs.
    pub(super) state: Option<State>,
    /// It is sorted by name or id, and not by a value.
    pub(super) by_key: bool,
}

/// The rows of a page in their order, how many rows the list has, and where the next page begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows<K> {
    pub(super) keys: Vec<K>,
    pub(super) total: usize,
    pub(super) next: Option<Cursor>,
}

impl Listing {
    /// The streams of the page.
    pub(super) fn streams(&self, told: &[Option<Told>]) -> Rows<Arc<str>> {
        let mut keys: Vec<&StreamKey> = Vec::new();
        for told in told.iter().flatten() {
            if let Told::StreamKeys(more) = told {
                keys.extend(more);
            }
        }
        keys.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        let streams = keys.chunk_by(|left, right| left.name == right.name);
        let is_wanted = |parts: &&[&StreamKey]| self.state.is_none_or(|it| it == state_of(parts));
        let rows = streams.filter(is_wanted).map(|parts| {
            let values = parts.iter().map(|part| part.value);
            (values.fold(0, u64::saturating_add), parts[0].name.clone())
        });
        let after = self.page.after.as_ref();
        let after = after.map(|cursor| (cursor.value, cursor.key.as_str().into()));
        self.rows(rows.collect(), after)
    }

    /// The clients of the page.
    pub(super) fn clients(&self, told: &[Option<Told>]) -> Rows<u64> {
        let mut keys: Vec<ClientKey> = Vec::new();
        for told in told.iter().flatten() {
            if let Told::ClientKeys(more) = told {
                keys.extend(more);
            }
        }
        keys.sort_unstable_by_key(|key| key.id);
        // One that moves from one worker to another may be at both for a moment.
        keys.dedup_by_key(|key| key.id);
        let rows = keys.iter().map(|key| (key.value, key.id)).collect();
        let after = self.page.after.as_ref();
        // A cursor that is no id is behind nothing.
        let after = after.and_then(|cursor| Some((cursor.value, cursor.key.parse().ok()?)));
        self.rows(rows, after)
    }

    /// The page of `rows`, each a value and a key.
    fn rows<K: Ord + ToString>(&self, mut rows: Vec<(u64, K)>, after: Option<(u64, K)>) -> Rows<K> {
        let order = |left: &(u64, K), right: &(u64, K)| self.order(left, right);
        let total = rows.len();
        if let Some(after) = after {
            rows.retain(|row| order(row, &after) == Ordering::Greater);
        }
        let limit = self.page.limit.clamp(1, limits::PAGE_ROWS_MAX);
        let end = self.page.offset.saturating_add(limit);
        let has_more = end < rows.len();
        if has_more {
            rows.select_nth_unstable_by(end, order);
            rows.truncate(end);
        }
        rows.sort_unstable_by(order);
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|(value, key)| Cursor {
            value: *value,
            key: key.to_string(),
        });
        let keys = rows.into_iter().skip(self.page.offset);
        let keys = keys.map(|(_, key)| key).collect();
        Rows { keys, total, next }
    }

    /// Rows of one value are in the order of their keys whatever the direction.
    fn order<K: Ord>(&self, left: &(u64, K), right: &(u64, K)) -> Ordering {
        match (self.page.descending, self.by_key) {
            (true, true) => right.1.cmp(&left.1),
            (false, true) => left.1.cmp(&right.1),
            (true, false) => right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)),
            (false, false) => left.cmp(right),
        }
    }
}

/// Where a stream stands: where players wait for it, it is not known yet that it is somewhere.
fn state_of(parts: &[&StreamKey]) -> State {
    let mut states = parts.iter().filter_map(|part| part.state);
    states
        .find(|state| *state != State::Waiting)
        .unwrap_or(State::Waiting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, value: u64, state: Option<State>) -> StreamKey {
        StreamKey {
            name: name.into(),
            value,
            state,
        }
    }

    /// `a` has 3 players in all, `b` 5, `c` and `d` none, and `d` is not live.
    fn told() -> Vec<Option<Told>> {
        vec![
            Some(Told::StreamKeys(vec![
                key("c", 0, Some(State::Live)),
                key("a", 1, Some(State::Live)),
                key("d", 0, Some(State::Waiting)),
            ])),
            None,
            Some(Told::StreamKeys(vec![
                key("b", 5, Some(State::Live)),
                key("a", 2, Some(State::Waiting)),
                key("d", 0, None),
            ])),
        ]
    }

    fn listing(limit: usize, offset: usize, descending: bool) -> Listing {
        Listing {
            page: Page {
                limit,
                offset,
                descending,
                after: None,
            },
            state: None,
            by_key: false,
        }
    }

    fn names(rows: &Rows<Arc<str>>) -> String {
        rows.keys.concat()
    }

    #[test]
    fn streams_are_sorted_by_what_all_workers_know() {
        let rows = listing(9, 0, true).streams(&told());
        assert_eq!((names(&rows).as_str(), rows.total), ("bacd", 4));
        assert_eq!(rows.next, None);
        assert_eq!(names(&listing(9, 0, false).streams(&told())), "cdab");
        assert_eq!(names(&listing(2, 1, true).streams(&told())), "ac");
        let mut by_name = listing(9, 0, true);
        by_name.by_key = true;
        assert_eq!(names(&by_name.streams(&told())), "dcba");
        let mut live = listing(9, 0, true);
        live.state = Some(State::Live);
        let rows = live.streams(&told());
        assert_eq!((names(&rows).as_str(), rows.total), ("bac", 3));
    }

    #[test]
    fn cursors_lead_through_all_rows_once() {
        for descending in [true, false] {
            let mut page = listing(1, 0, descending);
            let mut all = String::new();
            for _ in 0..4 {
                let rows = page.streams(&told());
                assert_eq!(rows.total, 4);
                all.push_str(&names(&rows));
                page.page.after = rows.next;
            }
            assert_eq!(page.page.after, None, "the last page has none");
            assert_eq!(all, if descending { "bacd" } else { "cdab" });
        }
    }

    #[test]
    fn a_client_between_two_workers_is_one() {
        let key = |id, value| ClientKey { id, value };
        let told = [
            Some(Told::ClientKeys(vec![key(2, 7), key(1, 9)])),
            Some(Told::ClientKeys(vec![key(2, 7), key(3, 8)])),
        ];
        let rows = listing(2, 0, true).clients(&told);
        assert_eq!((rows.keys, rows.total), (vec![1, 3], 3));
        assert_eq!(rows.next.map(|next| next.to_string()), Some("8.3".into()));
    }

    #[test]
    fn a_page_is_bounded_whatever_is_asked_for() {
        let keys = (0..5_000).map(|id| ClientKey { id, value: 0 });
        let told = [Some(Told::ClientKeys(keys.collect()))];
        let page = |limit, offset| listing(limit, offset, false).clients(&told).keys;
        assert_eq!(page(2, 3), [3, 4]);
        assert_eq!(page(9, 4_998), [4_998, 4_999]);
        assert!(page(9, usize::MAX).is_empty());
        assert_eq!(page(usize::MAX, 0).len(), limits::PAGE_ROWS_MAX);
    }
}

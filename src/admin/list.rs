//! Sorted lists and their pages: which rows of a list are on a page, and where the next begins.

use std::cmp::Ordering;
use std::fmt;

use crate::limits;
use crate::worker::query::named;

named! {
    /// What streams are sorted by.
    StreamSort:
    /// The name.
    #[default]
    Name = "name",
    /// Live, away, pulling, waiting.
    State = "state",
    /// Players.
    Players = "players",
    /// Players by HTTP and WebSocket.
    HttpPlayers = "http_players",
    /// Players that wait for it.
    Waiting = "waiting",
    /// Bits a second that come in.
    InBps = "in_bps",
    /// Bits a second that are sent.
    OutBps = "out_bps",
    /// Bytes that came in.
    BytesIn = "bytes_in",
    /// Bytes sent.
    BytesOut = "bytes_out",
    /// Times slow players were moved on.
    Skips = "skips",
    /// Bytes that those players did not get.
    SkippedBytes = "skipped_bytes",
    /// Times the publisher came back.
    Gaps = "gaps",
    /// The time between key frames.
    KeyFrameInterval = "key_frame_interval_ms",
    /// How long ago players were given something new.
    Delay = "delay_ms",
    /// How long it has been live.
    Uptime = "uptime_seconds",
    /// The id of its publisher.
    Publisher = "publisher",
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows at most; 1 to `limits::PAGE_ROWS_MAX`.
    pub limit: usize,
    /// Rows left out before.
    pub offset: usize,
    /// The largest first.
    pub descending: bool,
    /// Sorted by the key alone, and not by a value.
    pub by_key: bool,
    /// Only rows behind this one.
    pub after: Option<Cursor>,
}

/// A place in a sorted list: the row that was shown last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What it was sorted by.
    pub value: u64,
    /// Its name or id, which tells rows of one value apart.
    pub key: String,
}

impl Cursor {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (value, key) = text.split_once('.')?;
        let (value, key) = (value.parse().ok()?, key.to_owned());
        Some(Self { value, key })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.value, self.key)
    }
}

/// The rows of a page in their order, how many rows the list has, and where the next page begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rows<K> {
    pub(super) keys: Vec<K>,
    pub(super) total: usize,
    pub(super) next: Option<Cursor>,
}

impl Page {
    /// Returns the rows of the page out of all `rows`: each a value to sort by and a key that no
    /// other row has. `read` reads a key from a cursor; a cursor that has none is behind nothing.
    pub(super) fn of<K: Ord + ToString>(
        &self,
        mut rows: Vec<(u64, K)>,
        read: impl Fn(&str) -> Option<K>,
    ) -> Rows<K> {
        let order = |left: &(u64, K), right: &(u64, K)| self.order(left, right);
        let total = rows.len();
        let after = self.after.as_ref();
        if let Some(after) = after.and_then(|cursor| Some((cursor.value, read(&cursor.key)?))) {
            rows.retain(|row| order(row, &after) == Ordering::Greater);
        }
        let limit = self.limit.clamp(1, limits::PAGE_ROWS_MAX);
        let end = self.offset.saturating_add(limit);
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
        let keys = rows.into_iter().skip(self.offset);
        let keys = keys.map(|(_, key)| key).collect();
        Rows { keys, total, next }
    }

    /// Rows of one value are in the order of their keys whatever the direction.
    fn order<K: Ord>(&self, left: &(u64, K), right: &(u64, K)) -> Ordering {
        match (self.descending, self.by_key) {
            (true, true) => right.1.cmp(&left.1),
            (false, true) => left.1.cmp(&right.1),
            (true, false) => right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)),
            (false, false) => left.cmp(right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, offset: usize, descending: bool) -> Page {
        Page {
            limit,
            offset,
            descending,
            ..Page::default()
        }
    }

    fn rows(page: &Page) -> (String, usize, Option<Cursor>) {
        let rows = [("c", 0), ("a", 3), ("d", 0), ("b", 5)];
        let rows = rows.map(|(name, value)| (value, name.to_owned()));
        let rows = page.of(rows.to_vec(), |key| Some(key.to_owned()));
        (rows.keys.concat(), rows.total, rows.next)
    }

    #[test]
    fn rows_are_sorted_by_value_then_key() {
        assert_eq!(rows(&page(9, 0, true)), ("bacd".to_owned(), 4, None));
        assert_eq!(rows(&page(9, 0, false)).0, "cdab");
        assert_eq!(rows(&page(2, 1, true)).0, "ac");
        let by_key = Page {
            by_key: true,
            ..page(9, 0, true)
        };
        assert_eq!(rows(&by_key).0, "dcba");
    }

    #[test]
    fn cursors_lead_through_all_rows_once() {
        for descending in [true, false] {
            let mut page = page(1, 0, descending);
            let mut all = String::new();
            for _ in 0..4 {
                let (names, total, next) = rows(&page);
                assert_eq!(total, 4);
                all.push_str(&names);
                page.after = next;
            }
            assert_eq!(page.after, None, "the last page has none");
            assert_eq!(all, if descending { "bacd" } else { "cdab" });
        }
    }

    #[test]
    fn a_page_is_bounded_whatever_is_asked_for() {
        let ids = |limit, offset| {
            let rows = (0..5_000).map(|id| (0, id)).collect();
            page(limit, offset, false)
                .of(rows, |key| key.parse::<u64>().ok())
                .keys
        };
        assert_eq!(ids(2, 3), [3, 4]);
        assert_eq!(ids(9, 4_998), [4_998, 4_999]);
        assert!(ids(9, usize::MAX).is_empty());
        assert_eq!(ids(usize::MAX, 0).len(), limits::PAGE_ROWS_MAX);
    }

    #[test]
    fn a_cursor_is_read_back_whatever_the_name() {
        for key in ["live/cam", "7", "a.b/c.d", ""] {
            let cursor = Cursor {
                value: u64::MAX,
                key: key.to_owned(),
            };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        for wrong in ["", "7", ".a", "-1.a", "99999999999999999999.a"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}

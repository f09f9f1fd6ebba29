//! What the kernel tells about processes, the clock that all processes share, and quantiles.
//! Nothing here knows RTMP.

use std::fs;
use std::io;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the monotonic clock, which is the same for every process of the machine: a
/// message may be stamped in one and received in another.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// What processes have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds on a core, user and kernel, interrupts that were served meanwhile included.
    pub cpu_ns: u64,
    /// Nanoseconds that threads were ready to run and had no core.
    pub waited_ns: u64,
    /// Resident memory in KiB.
    pub rss_kib: u64,
}

impl Usage {
    /// The times since `earlier`; memory as it is now. A thread that has ended meanwhile takes
    /// its time with it.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
            rss_kib: self.rss_kib,
        }
    }
}

/// What `pids` have used together.
///
/// # Errors
/// One of them is gone.
pub fn usage(pids: &[u32]) -> io::Result<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let mut numbers = text
                .split_whitespace()
                .map(|word| word.parse().unwrap_or(0));
            sum.cpu_ns += numbers.next().unwrap_or(0);
            sum.waited_ns += numbers.next().unwrap_or(0);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        sum.rss_kib += rss.unwrap_or(0);
    }
    Ok(sum)
}

/// The processes of this machine that listen on TCP port `port`: for a server with several
/// processes all that hold the socket. Empty when none is found, or they are not ours to see.
pub fn listeners(port: u16) -> Vec<u32> {
    let mut targets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        let inodes = text.lines().filter_map(|line| listening_inode(line, port));
        targets.extend(inodes.map(|inode| format!("socket:[{inode}]")));
    }
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            let link = fs::read_link(descriptor.path()).unwrap_or_default();
            targets
                .iter()
                .any(|target| link.as_os_str() == target.as_str())
        });
        if holds {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    pids
}

/// The inode of a line of /proc/net/tcp, if it is a listener on `port`.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_listener = fields.get(3) == Some(&"0A");
    let local = fields.get(1)?.rsplit(':').next()?;
    let is_there = u16::from_str_radix(local, 16) == Ok(port);
    (is_listener && is_there).then(|| fields.get(9).copied())?
}

/// The value below which `share` of the sorted samples lie, by nearest rank; 0 without samples.
pub fn quantile(sorted: &[u64], share: f64) -> u64 {
    debug_assert!(sorted.is_sorted());
    let rank = (share * sorted.len() as f64).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let index = (rank as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(0)
}

/// The middle value, or the mean of the two in the middle; None without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_usage_grows_with_work_and_the_listener_is_found() {
        let me = [std::process::id()];
        let before = usage(&me).unwrap();
        let begun = now_ns();
        let mut used = usage(&me).unwrap().since(&before);
        // On a busy machine a while can pass without a turn.
        while used.cpu_ns <= 1_000_000 && now_ns() < begun + 10_000_000_000 {
            let until = now_ns() + 30_000_000;
            let mut spun = 0u64;
            while now_ns() < until {
                spun = std::hint::black_box(spun + 1);
            }
            used = usage(&me).unwrap().since(&before);
        }
        assert!(used.cpu_ns > 1_000_000, "{used:?}");
        assert!(used.rss_kib > 100, "{used:?}");
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listeners(port), me);
        drop(socket);
        assert!(listeners(port).is_empty());
    }

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let samples: Vec<u64> = (1..=100).collect();
        for (share, expected) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            assert_eq!(quantile(&samples, share), expected, "{share}");
        }
        assert_eq!(quantile(&[], 0.5), 0);
        assert_eq!(quantile(&[7], 0.99), 7);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}

//! What the kernel says of the process: processor time, memory and open files, from /proc. Cheap
//! enough to be read for each answer that shows it: three small files and the size of a directory.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use serde::Serialize;

/// See the module text. What cannot be read is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// Processor time of all its threads, in seconds.
    pub cpu_seconds: f64,
    /// Memory that is in use and not swapped out.
    pub resident_bytes: u64,
    /// Address space.
    #[serde(skip)]
    pub virtual_bytes: u64,
    /// Open files, sockets among them.
    pub open_files: u64,
    /// How many there may be.
    pub open_files_max: u64,
    /// Threads.
    pub threads: u64,
    /// When it began, in seconds since 1970.
    #[serde(skip)]
    pub start_seconds: f64,
}

impl Process {
    /// As it is now.
    pub fn read() -> Self {
        let text = |name: &str| fs::read_to_string(name).unwrap_or_default();
        let mut process = Self::parse(&text("/proc/self/stat"), &text("/proc/stat"));
        process.open_files_max = open_files_max(&text("/proc/self/limits"));
        process.open_files = open_files();
        process
    }

    /// From the process's `stat` and that of the system; proc_pid_stat(5).
    fn parse(stat: &str, system: &str) -> Self {
        // The name of the program may hold anything, and ends at the last parenthesis.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // The first one there is the third of all.
        let field = |number: usize| {
            let text = fields.get(number - 3);
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let ticks = clock_ticks_per_second() as f64;
        let began = system.lines().find_map(|line| line.strip_prefix("btime "));
        let booted: f64 = began.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        Self {
            cpu_seconds: (field(14) + field(15)) as f64 / ticks,
            threads: field(20),
            start_seconds: booted + field(22) as f64 / ticks,
            virtual_bytes: field(23),
            resident_bytes: field(24) * page_size() as u64,
            ..Self::default()
        }
    }
}

/// How many files are open. Since Linux 6.2 the size of the directory says so; before, its entries
/// have to be counted, which with thousands of connections takes milliseconds.
fn open_files() -> u64 {
    let path = "/proc/self/fd";
    match fs::metadata(path).map_or(0, |directory| directory.len()) {
        // The directory itself is one of them while it is read.
        0 => fs::read_dir(path).map_or(0, |files| files.count().saturating_sub(1) as u64),
        count => count,
    }
}

/// The soft limit of open files in `limits`; the largest number when there is none.
fn open_files_max(limits: &str) -> u64 {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next());
    match soft {
        Some("unlimited") => u64::MAX,
        Some(number) => number.parse().unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_to_be_one() {
        let process = Process::read();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(
            process.virtual_bytes > process.resident_bytes,
            "{process:?}"
        );
        assert!(process.open_files >= 3, "{process:?}");
        let listed = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        assert!(
            process.open_files.abs_diff(listed) < 50,
            "{process:?} {listed}"
        );
        assert!(process.open_files_max >= process.open_files, "{process:?}");
        assert!(process.threads >= 1 && process.cpu_seconds >= 0.0);
        assert!(process.start_seconds > 1.5e9, "{process:?}");
    }

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let stat = "7 (a) R (b) S 1 2 3 4 5 6 7 8 9 10 200 100 13 14 15 16 5 18 300 4096 2 19";
        let process = Process::parse(stat, "cpu 1\nbtime 1000\n");
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(process.cpu_seconds, 300.0 / ticks);
        assert_eq!((process.threads, process.virtual_bytes), (5, 4_096));
        assert_eq!(process.resident_bytes, 2 * page_size() as u64);
        assert_eq!(process.start_seconds, 1_000.0 + 300.0 / ticks);
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        assert_eq!(Process::parse("", ""), Process::default());
        assert_eq!(open_files_max("Max open files   1024   4096  files"), 1_024);
        assert_eq!(
            open_files_max("Max open files  unlimited unlimited files"),
            u64::MAX
        );
        assert_eq!(open_files_max(""), 0);
    }
}

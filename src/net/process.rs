//! The process and its threads as the kernel sees them: processors and open files, and who may
//! read its secrets.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors this process may run on, in order.
///
/// # Errors
/// The kernel does not tell.
pub fn available_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// How many of `available` processors the process may use at one time: fewer where a CPU quota
/// of its control group (version 1 or 2) says so, and at least one.
pub fn cpu_share(available: usize) -> usize {
    // The standard library looks at quotas, of control groups above as well.
    let share = std::thread::available_parallelism();
    share.map_or(available, |share| share.get().min(available))
}

/// What is to be said of a file with a secret that others may read; `what` names the secret.
pub fn exposure(path: &Path, what: &str) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        let path = path.display();
        format!("{path}: everybody on this machine may read or change {what} (mode {mode:o})")
    })
}

/// The one core that a thread may run on, from its `status` in procfs; None when it may run on
/// more.
pub fn only_core(status: &str) -> Option<usize> {
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().parse().ok()
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// There is no such processor, or it is not ours.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the limit of open files to what the system allows this process; how many that is.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() {
        raised
    } else {
        limit
    };
    now.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_an_available_cpu_and_no_other() {
        let cpus = available_cpus().unwrap();
        pin_thread(cpus[0]).unwrap();
        assert_eq!(available_cpus().unwrap(), [cpus[0]]);
        assert!(pin_thread(CpuSet::MAX_CPU).is_err());
    }

    #[test]
    fn a_thread_with_one_core_is_found() {
        let status = |list| format!("Name:\tx\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n");
        assert_eq!(only_core(&status("5")), Some(5));
        assert_eq!(only_core(&status("0-3")), None);
        assert_eq!(only_core(&status("0,2")), None);
        assert_eq!(only_core("Name:\tx\n"), None);
    }

    #[test]
    fn open_files_can_be_raised_to_the_hard_limit() {
        let allowed = raise_open_files();
        assert_eq!(
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            allowed
        );
    }
}

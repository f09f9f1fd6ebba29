//! Which core each worker is pinned to. With `--cpus auto` workers keep away from cores that
//! threads of other processes are pinned to, and are not pinned where the control group allows
//! less CPU time than there are cores: a pinned worker could not move to an idle core.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::StartError;
use crate::config::Cpus;
use crate::net::process;

/// The cores of all workers.
#[derive(Debug)]
pub(super) struct Placement {
    /// The core of each worker, if it is pinned.
    pub(super) pins: Vec<Option<usize>>,
    /// Why workers are not pinned though they could be.
    pub(super) unpinned_why: Option<&'static str>,
    /// Held until every worker is pinned, so that a relay that starts at the same moment sees
    /// where.
    pub(super) lock: Option<Arc<File>>,
}

/// Places `workers` workers on the `available` cores, of which the process may use `usable` at a
/// time. During an upgrade, `with_others`, the cores of the relay that is replaced are not avoided.
///
/// # Errors
/// `--cpus` names a core that is not available.
pub(super) fn place(
    cpus: &Cpus,
    available: &[usize],
    usable: usize,
    workers: usize,
    with_others: bool,
) -> Result<Placement, StartError> {
    let mut lock = None;
    let choice = match cpus {
        Cpus::Unpinned => Ok(Vec::new()),
        Cpus::List(list) => {
            if let Some(&cpu) = list.iter().find(|cpu| !available.contains(cpu)) {
                return Err(StartError::Cpu {
                    cpu,
                    available: available.to_vec(),
                });
            }
            Ok(list.clone())
        }
        Cpus::Available => {
            lock = lock_starts().ok().map(Arc::new);
            let taken = match with_others {
                true => Vec::new(),
                false => pinned_cores(Path::new("/proc"), std::process::id()),
            };
            free_cores(available, usable, workers, &taken)
        }
    };
    let (list, unpinned_why) = match choice {
        Ok(list) => (list, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let pins = match list.is_empty() {
        true => vec![None; workers],
        false => list.into_iter().map(Some).cycle().take(workers).collect(),
    };
    Ok(Placement {
        pins,
        unpinned_why,
        lock,
    })
}

/// The cores for `--cpus auto`, or why there are none.
fn free_cores(
    available: &[usize],
    usable: usize,
    workers: usize,
    taken: &[usize],
) -> Result<Vec<usize>, &'static str> {
    if usable < available.len() {
        return Err("a CPU quota leaves less than these cores");
    }
    let is_free = |cpu: &usize| !taken.contains(cpu);
    let free: Vec<usize> = available.iter().copied().filter(is_free).collect();
    if free.len() < workers.min(available.len()) {
        return Err("other processes are pinned to some of them");
    }
    Ok(free)
}

/// Waits for relays of the same executable that are choosing their cores.
fn lock_starts() -> io::Result<File> {
    let executable = File::open("/proc/self/exe")?;
    executable.lock()?;
    Ok(executable)
}

/// The cores that some thread of a process other than `own` is pinned to, that is may run on and
/// on no other. Threads of the kernel are left out. `proc` is where procfs is mounted.
fn pinned_cores(proc: &Path, own: u32) -> Vec<usize> {
    let mut cores = Vec::new();
    for process in entries(proc) {
        let is_own = process.file_name() == Some(own.to_string().as_ref());
        // Threads of the kernel have no command line.
        let has_command = fs::read(process.join("cmdline")).is_ok_and(|line| !line.is_empty());
        if is_own || !has_command {
            continue;
        }
        for thread in entries(&process.join("task")) {
            let core = fs::read_to_string(thread.join("status"));
            cores.extend(core.ok().as_deref().and_then(process::only_core));
        }
    }
    cores.sort_unstable();
    cores.dedup();
    cores
}

/// The folders in `dir` that are named by a number: processes, or threads of one.
fn entries(dir: &Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    let found = fs::read_dir(dir).into_iter().flatten().flatten();
    found.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_pinned_round_the_list() {
        let available = [0, 1, 4];
        let pinned = |list, workers| {
            let cpus = Cpus::List(list);
            place(&cpus, &available, 3, workers, false).unwrap().pins
        };
        assert_eq!(pinned(vec![4, 1], 3), [Some(4), Some(1), Some(4)]);
        let none = place(&Cpus::Unpinned, &available, 3, 2, false).unwrap();
        assert_eq!((none.pins, none.unpinned_why), (vec![None, None], None));
        let error = place(&Cpus::List(vec![2]), &available, 3, 1, false).unwrap_err();
        assert!(error.to_string().contains("no core 2"), "{error}");
    }

    #[test]
    fn auto_avoids_pinned_cores_and_quotas() {
        let available = [0, 1, 4];
        let free = |usable, workers, taken: &[usize]| {
            free_cores(&available, usable, workers, taken).unwrap_or_default()
        };
        assert_eq!(free(3, 3, &[]), [0, 1, 4]);
        assert_eq!(free(3, 8, &[7]), [0, 1, 4]);
        assert_eq!(free(3, 1, &[0]), [1, 4]);
        assert!(free(3, 3, &[0]).is_empty());
        assert!(free(2, 2, &[]).is_empty());
    }
}

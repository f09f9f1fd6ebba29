//! What a run was made on and with: date, a neutral name of the machine, versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

use super::servers::Programs;

/// Today in UTC, as `2026-11-22`.
pub(super) fn date() -> String {
    let (year, month, day) = civil(clock_gettime(ClockId::Realtime).tv_sec.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970, by the Gregorian calendar. Years are
/// counted from March, so that the day that may be missing is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = shifted.div_euclid(146_097); // of 400 years
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// What the processor calls itself.
pub(super) fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("unknown processor").trim().to_owned()
}

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    tailwater::net::process::available_cpus().map_or(1, |cpus| cpus.len())
}

/// A name made of letters, digits and dashes: `amd-epyc-2-cores`.
pub(super) fn neutral_name() -> String {
    slug(&format!("{} {} cores", cpu_model(), cores()))
}

/// `text` in small letters and digits, with dashes for all else.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.to_lowercase().chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Name and version of everything that takes part, and of what it runs on.
pub(super) fn versions(programs: &Programs) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("processor", format!("{}, {} cores", cpu_model(), cores())),
        ("Linux", read("/proc/sys/kernel/osrelease")),
    ];
    if let Some(path) = &programs.tailwater {
        let commit = ask(Path::new("git"), &["describe", "--always", "--dirty"]);
        let version = ask(path, &["--version"]).replace("tailwater ", "");
        list.push(("tailwater", format!("{version} ({commit})")));
        list.push((
            "rustc",
            ask(Path::new("rustc"), &["--version"]).replace("rustc ", ""),
        ));
    }
    if let (Some(path), Some(_)) = (&programs.nginx, &programs.nginx_module) {
        let version = ask(path, &["-v"]).replace("nginx version: nginx/", "");
        list.push(("nginx", version));
        let query = ["--show", "--showformat", "${Version}", "libnginx-mod-rtmp"];
        list.push(("libnginx-mod-rtmp", ask(Path::new("dpkg-query"), &query)));
    }
    if let Some(path) = &programs.xiu {
        list.push(("xiu", xiu_version(path)));
    }
    if let Some(path) = &programs.node_media_server {
        let package = fs::read(path.join("package.json")).unwrap_or_default();
        let package: serde_json::Value = serde_json::from_slice(&package).unwrap_or_default();
        let version = package["version"].as_str().unwrap_or("unknown");
        list.push(("node-media-server", version.to_owned()));
        list.push(("node", ask(Path::new("node"), &["--version"])));
    }
    list
}

/// xiu 0.14.0 calls itself 0.13.0; cargo knows better what it has installed.
fn xiu_version(path: &Path) -> String {
    let list = path
        .parent()
        .and_then(Path::parent)
        .map(|root| root.join(".crates.toml"));
    let list = list.and_then(|list| fs::read_to_string(list).ok());
    let installed = list.as_deref().and_then(|list| {
        let line = list.lines().find_map(|line| line.strip_prefix("\"xiu "))?;
        line.split_whitespace().next()
    });
    installed.map_or_else(|| ask(path, &["--version"]), str::to_owned)
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The first line a program answers with, wherever it writes it.
fn ask(program: &Path, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return "unknown".into();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (20_779, (2026, 11, 22)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), expected);
        }
    }

    #[test]
    fn names_are_letters_digits_and_dashes() {
        assert_eq!(
            slug("AMD EPYC(tm) 9004, 2 cores "),
            "amd-epyc-tm-9004-2-cores"
        );
        assert!(!neutral_name().is_empty());
    }
}

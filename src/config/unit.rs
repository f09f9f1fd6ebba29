//! Amounts as people write them: `16 MiB`, `64k`, `350 ms`, `2m`, `4096`.
//!
//! Not the ranges, which are in the table of options. What `show` writes, `parse` reads back as
//! the same amount.

/// What the number behind an option counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things; no suffix.
    Count,
    /// Bytes; suffixes k, m, g, KiB, MiB, GiB, all powers of 1024, in either case.
    Bytes,
    /// Bits a second; suffixes k, m, g, kbit/s, Mbit/s, Gbit/s, all powers of 1000, in either
    /// case.
    Bits,
    /// Time; suffixes ms, s, m, h; milliseconds when bare.
    Milliseconds,
    /// Time; the same suffixes; seconds when bare.
    Seconds,
}

const BYTE_SUFFIXES: [(&str, u64); 6] = [
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
];
const BIT_SUFFIXES: [(&str, u64); 6] = [
    ("gbit/s", 1_000_000_000),
    ("mbit/s", 1_000_000),
    ("kbit/s", 1_000),
    ("g", 1_000_000_000),
    ("m", 1_000_000),
    ("k", 1_000),
];
const TIME_SUFFIXES: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

impl Unit {
    /// The name of the unit in tables; empty for counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Bytes => "bytes",
            Self::Bits => "bit/s",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    /// What one bare unit is worth: milliseconds for times, 1 for the others.
    pub fn scale(self) -> u64 {
        match self {
            Self::Count | Self::Bytes | Self::Bits | Self::Milliseconds => 1,
            Self::Seconds => 1000,
        }
    }

    /// Reads an amount: bytes, milliseconds for both kinds of time, or a count. `None` when it is
    /// not a whole number with a suffix of this unit, or does not fit.
    pub fn parse(self, text: &str) -> Option<u64> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let suffix = suffix.trim_start();
        let worth = if suffix.is_empty() {
            self.scale()
        } else {
            self.suffix(suffix)?
        };
        number.checked_mul(worth)
    }

    fn suffix(self, suffix: &str) -> Option<u64> {
        let find = |table: &[(&str, u64)], suffix: &str| {
            table.iter().find(|row| row.0 == suffix).map(|row| row.1)
        };
        match self {
            Self::Count => None,
            Self::Bytes => find(&BYTE_SUFFIXES, &suffix.to_ascii_lowercase()),
            Self::Bits => find(&BIT_SUFFIXES, &suffix.to_ascii_lowercase()),
            Self::Milliseconds | Self::Seconds => find(&TIME_SUFFIXES, suffix),
        }
    }

    /// Writes an amount as `parse` gives it, in the largest unit that stays whole.
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Count => amount.to_string(),
            Self::Bytes => {
                let whole = |worth: u64| amount != 0 && amount.is_multiple_of(worth);
                match amount {
                    _ if whole(1 << 30) => format!("{} GiB", amount >> 30),
                    _ if whole(1 << 20) => format!("{} MiB", amount >> 20),
                    _ if whole(1 << 10) => format!("{} KiB", amount >> 10),
                    _ => amount.to_string(),
                }
            }
            Self::Bits => {
                let whole = |worth: u64| amount != 0 && amount.is_multiple_of(worth);
                match amount {
                    _ if whole(1_000_000_000) => format!("{} Gbit/s", amount / 1_000_000_000),
                    _ if whole(1_000_000) => format!("{} Mbit/s", amount / 1_000_000),
                    _ if whole(1_000) => format!("{} kbit/s", amount / 1_000),
                    _ => amount.to_string(),
                }
            }
            Self::Seconds if amount.is_multiple_of(1000) => format!("{} s", amount / 1000),
            Self::Milliseconds | Self::Seconds => format!("{amount} ms"),
        }
    }

    /// A range of amounts in words, bounds in bare units: `64 KiB to 1 GiB`, `0 to 3600 s`.
    pub fn range(self, min: u64, max: u64) -> String {
        match self {
            Self::Count => format!("{min} to {max}"),
            Self::Bytes => {
                let (low, high) = (self.show(min), self.show(max));
                let is_bare = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                if is_bare(&high) {
                    format!("{low} to {high} bytes")
                } else if is_bare(&low) && min > 0 {
                    format!("{low} bytes to {high}")
                } else {
                    format!("{low} to {high}")
                }
            }
            Self::Bits => format!("{} to {}", self.show(min), self.show(max)),
            Self::Milliseconds | Self::Seconds => format!("{min} to {max} {}", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Unit; 5] = [
        Unit::Count,
        Unit::Bytes,
        Unit::Bits,
        Unit::Milliseconds,
        Unit::Seconds,
    ];

    #[track_caller]
    fn check(unit: Unit, text: &str, amount: Option<u64>) {
        assert_eq!(unit.parse(text), amount, "{text:?} as {unit:?}");
    }

    #[test]
    fn bytes_take_powers_of_1024() {
        for (text, amount) in [
            ("0", 0),
            ("65536", 65_536),
            ("64k", 65_536),
            ("64K", 65_536),
            ("64KiB", 65_536),
            ("64 KiB", 65_536),
            ("64kib", 65_536),
            ("16m", 16_777_216),
            ("16 MiB", 16_777_216),
            ("1g", 1_073_741_824),
            ("1GiB", 1_073_741_824),
        ] {
            check(Unit::Bytes, text, Some(amount));
        }
    }

    #[test]
    fn bits_a_second_take_powers_of_1000() {
        for (text, amount) in [
            ("0", 0),
            ("64000", 64_000),
            ("64k", 64_000),
            ("64 kbit/s", 64_000),
            ("200M", 200_000_000),
            ("200 Mbit/s", 200_000_000),
            ("1g", 1_000_000_000),
        ] {
            check(Unit::Bits, text, Some(amount));
        }
        check(Unit::Bits, "1 MiB", None);
        assert_eq!(Unit::Bits.show(2_500_000), "2500 kbit/s");
        assert_eq!(Unit::Bits.range(0, 1_000_000_000), "0 to 1 Gbit/s");
    }

    #[test]
    fn times_take_a_suffix_or_the_unit_of_the_option() {
        for (text, bare_ms, bare_s) in [
            ("0", 0, 0),
            ("7", 7, 7000),
            ("7ms", 7, 7),
            ("7 ms", 7, 7),
            ("7s", 7000, 7000),
            ("2m", 120_000, 120_000),
            ("1h", 3_600_000, 3_600_000),
        ] {
            check(Unit::Milliseconds, text, Some(bare_ms));
            check(Unit::Seconds, text, Some(bare_s));
        }
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for unit in ALL {
            for text in [
                "",
                " ",
                " 1",
                "-1",
                "+1",
                "1.5",
                "1_000",
                "0x10",
                "k",
                "s",
                "1 2",
                "1x",
                "1d",
                "1kb",
                "1kB",
                "1MB",
                "1tib",
                "1 m s",
                "٣",
                "18446744073709551616",
            ] {
                check(unit, text, None);
            }
        }
        check(Unit::Count, "1k", None);
        check(Unit::Count, "1s", None);
        check(Unit::Bytes, "1s", None);
        check(Unit::Bytes, "1 KiB ", None);
        check(Unit::Seconds, "1k", None);
        check(Unit::Seconds, "1S", None);
    }

    #[test]
    fn an_amount_that_does_not_fit_is_refused() {
        check(Unit::Bytes, "18446744073709551615", Some(u64::MAX));
        check(Unit::Bytes, "17179869184g", None);
        check(Unit::Seconds, "18446744073709552", None);
        check(Unit::Seconds, "5124095576031h", None);
    }

    #[test]
    fn what_is_shown_reads_back() {
        for unit in ALL {
            for amount in [
                0,
                1,
                999,
                1000,
                1024,
                1500,
                65_536,
                2_500_000,
                3_600_000,
                1 << 30,
            ] {
                check(unit, &unit.show(amount), Some(amount));
            }
        }
        assert_eq!(Unit::Bytes.show(16 << 20), "16 MiB");
        assert_eq!(Unit::Seconds.show(10_000), "10 s");
        assert_eq!(Unit::Seconds.show(1500), "1500 ms");
        assert_eq!(Unit::Milliseconds.show(1000), "1000 ms");
    }

    #[test]
    fn ranges_name_their_unit() {
        assert_eq!(Unit::Count.range(0, 64), "0 to 64");
        assert_eq!(Unit::Bytes.range(0, 64 << 20), "0 to 64 MiB");
        assert_eq!(Unit::Bytes.range(128, 1 << 20), "128 bytes to 1 MiB");
        assert_eq!(Unit::Bytes.range(1, 10), "1 to 10 bytes");
        assert_eq!(Unit::Milliseconds.range(0, 1000), "0 to 1000 ms");
        assert_eq!(Unit::Seconds.range(1, 300), "1 to 300 s");
    }
}

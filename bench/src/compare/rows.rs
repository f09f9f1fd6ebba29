//! What is compared and what must be reached: one row for each kind of work, with the programs
//! that do it side by side and the goals for tailwater's figures.

/// One kind of work.
pub(super) struct Row {
    /// Short name, for `--rows` and the samples.
    pub key: &'static str,
    /// In words.
    pub title: &'static str,
    /// What is done.
    pub work: Work,
    /// Who does it; the first is the one with goals.
    pub entrants: &'static [Entrant],
    /// The figure that is charted.
    pub figure: &'static str,
    /// What must be reached.
    pub goals: &'static [Goal],
    /// Part of `--quick`.
    pub quick: bool,
}

/// What is done.
pub(super) enum Work {
    /// Put this load on a server.
    Load(Load),
    /// Read messages in chunks of this size, in memory.
    Read {
        /// Payload bytes of a chunk.
        chunk_size: usize,
    },
}

/// The load of a row; see `tailwater-bench load --help`.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// Streams, each with a publisher.
    pub streams: usize,
    /// Players over all streams.
    pub players: usize,
    /// Players that check everything.
    pub checked: usize,
    /// Players that never read.
    pub stall: usize,
    /// Players that join within a second.
    pub storm: usize,
    /// Bits a second of a stream.
    pub bitrate: u64,
    /// Publishers send headers and no media.
    pub idle: bool,
    /// Seconds before measuring.
    pub warm_up: u64,
    /// Seconds measured.
    pub seconds: u64,
}

/// A program with its settings.
pub(super) struct Entrant {
    /// What it is called in tables.
    pub name: &'static str,
    /// What is started.
    pub program: Program,
}

/// What can be started.
pub(super) enum Program {
    /// The relay with these flags, on as many cores as workers.
    Tailwater {
        /// Beside the address and the number of workers.
        flags: &'static [&'static str],
        /// Event loops.
        workers: usize,
        /// Where it listens beside RTMP.
        door: Option<Door>,
    },
    /// The kernel alone.
    Floor(Pace),
    /// nginx with its RTMP module, one worker.
    Nginx,
    /// xiu from crates.io.
    Xiu,
    /// node-media-server from npm.
    NodeMediaServer,
    /// tailwater's chunk reader.
    Reader,
    /// rml_rtmp's chunk reader.
    RmlReader,
    /// A copy of the same bytes.
    Copy,
}

/// Another listener of the relay, and whether anybody comes there. Publishers never do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Door {
    /// What is spoken there.
    pub speaks: Speaks,
    /// Somebody comes, as `speaks` says.
    pub is_used: bool,
}

/// What is spoken at a door, and who comes there if it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// RTMPS; all players.
    Rtmps,
    /// HTTP; half of the players.
    Http,
    /// HTTP; who asks for these figures each second.
    Admin(&'static [&'static str]),
}

/// How often the floor writes or reads.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// Every so many milliseconds, 0 at once.
    Fixed(u64),
    /// As often as tailwater settled on in the same row.
    AsTailwater,
}

/// What must be reached, by medians over the rounds.
pub(super) enum Goal {
    /// A figure is at most this.
    AtMost(&'static str, f64),
    /// A figure is at most so many times that of another entrant.
    Ratio {
        /// Which figure.
        figure: &'static str,
        /// Whose is compared with.
        of: &'static str,
        /// How many times it.
        at_most: f64,
    },
    /// No message lost, misplaced or corrupt, nobody starved or closed, in any round.
    NothingLost,
    /// Every player of the storm had its first frame, in every round.
    NobodyWaits,
}

const CPU_PLAYER: &str = "cpu_us_per_player_s";
const CPU_STREAM: &str = "cpu_us_per_stream_s";
const CPU_GB: &str = "cpu_s_per_gb";
/// The figure of the rows that read in memory.
pub(super) const NS_PER_MESSAGE: &str = "ns_per_message";

const LOAD: Load = Load {
    streams: 1,
    players: 500,
    checked: 8,
    stall: 0,
    storm: 0,
    bitrate: 600_000,
    idle: false,
    warm_up: 4,
    seconds: 10,
};

const INGEST: Load = Load {
    streams: 500,
    players: 0,
    ..LOAD
};

const FLOOR: Entrant = floor(Pace::Fixed(0));
const NGINX: Entrant = Entrant {
    name: "nginx-rtmp",
    program: Program::Nginx,
};
const XIU: Entrant = Entrant {
    name: "xiu",
    program: Program::Xiu,
};
const NMS: Entrant = Entrant {
    name: "node-media-server",
    program: Program::NodeMediaServer,
};

const fn tailwater(flags: &'static [&'static str]) -> Entrant {
    Entrant {
        name: "tailwater",
        program: Program::Tailwater {
            flags,
            workers: 1,
            door: None,
        },
    }
}

/// The relay with another listener, which is used by the first of the two and not by the other.
const fn door(name: &'static str, flags: &'static [&'static str], speaks: Speaks) -> [Entrant; 2] {
    [
        listening(
            name,
            flags,
            Door {
                speaks,
                is_used: true,
            },
        ),
        listening(
            "tailwater",
            flags,
            Door {
                speaks,
                is_used: false,
            },
        ),
    ]
}

const fn listening(name: &'static str, flags: &'static [&'static str], door: Door) -> Entrant {
    Entrant {
        name,
        program: Program::Tailwater {
            flags,
            workers: 1,
            door: Some(door),
        },
    }
}

/// Players over TLS and without.
const fn tls(flags: &'static [&'static str]) -> [Entrant; 2] {
    door("tailwater, TLS", flags, Speaks::Rtmps)
}

/// Players half by HTTP-FLV and all by RTMP.
const fn http(flags: &'static [&'static str]) -> [Entrant; 2] {
    door("tailwater, half by HTTP", flags, Speaks::Http)
}

/// What is asked for each second where figures are collected: all of the process, all streams.
const SCRAPED: &[&str] = &["metrics", "api/v1/streams"];

const fn floor(pace: Pace) -> Entrant {
    Entrant {
        name: "floor",
        program: Program::Floor(pace),
    }
}

const fn ratio(figure: &'static str, of: &'static str, at_most: f64) -> Goal {
    Goal::Ratio {
        figure,
        of,
        at_most,
    }
}

/// The rows, in the order they are run and shown.
pub(super) const ROWS: &[Row] = &[
    Row {
        key: "fan-2000-paced",
        title: "1 stream, 2,000 players, 600 kbit/s, `--pace 350`",
        // Whole beats: 60 of them.
        work: Work::Load(Load {
            players: 2_000,
            seconds: 21,
            ..LOAD
        }),
        entrants: &[tailwater(&["--pace", "350"]), floor(Pace::Fixed(350))],
        figure: CPU_PLAYER,
        goals: &[ratio(CPU_PLAYER, "floor", 1.25), Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "fan-500",
        title: "1 stream, 500 players, `--pace 0`",
        work: Work::Load(LOAD),
        entrants: &[tailwater(&["--pace", "0"]), FLOOR, NGINX, XIU, NMS],
        figure: CPU_PLAYER,
        goals: &[
            ratio(CPU_PLAYER, "floor", 1.10),
            ratio("delay_p50_ms", "nginx-rtmp", 1.0),
            Goal::NothingLost,
        ],
        quick: true,
    },
    Row {
        key: "fan-500-auto",
        title: "1 stream, 500 players, default flags",
        work: Work::Load(LOAD),
        entrants: &[tailwater(&[]), NGINX],
        figure: CPU_PLAYER,
        goals: &[
            ratio(CPU_PLAYER, "nginx-rtmp", 0.5),
            Goal::AtMost("delay_p99_ms", 100.0),
            Goal::NothingLost,
        ],
        quick: false,
    },
    Row {
        key: "fan-100-auto",
        title: "1 stream, 100 players, default flags",
        work: Work::Load(Load {
            players: 100,
            ..LOAD
        }),
        entrants: &[tailwater(&[]), NGINX],
        figure: CPU_PLAYER,
        goals: &[Goal::AtMost("delay_p99_ms", 5.0), Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "fan-18000-auto",
        title: "1 stream, 18,000 players, 600 kbit/s, default flags",
        work: Work::Load(Load {
            players: 18_000,
            checked: 40,
            seconds: 21,
            ..LOAD
        }),
        entrants: &[tailwater(&[]), floor(Pace::AsTailwater)],
        figure: CPU_PLAYER,
        goals: &[Goal::NothingLost, Goal::AtMost("delay_p99_ms", 1_000.0)],
        quick: false,
    },
    Row {
        key: "fan-1000-4m-auto",
        title: "1 stream, 1,000 players, 4 Mbit/s, default flags",
        work: Work::Load(Load {
            players: 1_000,
            bitrate: 4_000_000,
            ..LOAD
        }),
        entrants: &[tailwater(&[]), floor(Pace::AsTailwater)],
        figure: CPU_GB,
        goals: &[Goal::NothingLost, ratio(CPU_GB, "floor", 1.3)],
        quick: false,
    },
    Row {
        key: "ingest-500",
        title: "500 publishers, no players, `--pace 0`",
        work: Work::Load(INGEST),
        entrants: &[tailwater(&["--pace", "0"]), FLOOR, NGINX, XIU, NMS],
        figure: CPU_STREAM,
        goals: &[ratio(CPU_STREAM, "floor", 1.25)],
        quick: true,
    },
    Row {
        key: "ingest-500-paced",
        title: "500 publishers, no players, `--pace 100`",
        work: Work::Load(INGEST),
        entrants: &[
            tailwater(&["--pace", "100"]),
            floor(Pace::Fixed(100)),
            NGINX,
        ],
        figure: CPU_STREAM,
        goals: &[
            ratio(CPU_STREAM, "floor", 1.5),
            ratio(CPU_STREAM, "nginx-rtmp", 0.25),
        ],
        quick: false,
    },
    Row {
        key: "ingest-500-auto",
        title: "500 publishers, no players, default flags",
        work: Work::Load(INGEST),
        entrants: &[tailwater(&[]), NGINX],
        figure: CPU_STREAM,
        goals: &[ratio(CPU_STREAM, "nginx-rtmp", 0.75)],
        quick: false,
    },
    Row {
        key: "streams-100",
        title: "100 streams x 5 players, `--pace 0`",
        work: Work::Load(Load {
            streams: 100,
            ..LOAD
        }),
        entrants: &[tailwater(&["--pace", "0"]), FLOOR, NGINX],
        figure: CPU_PLAYER,
        goals: &[ratio(CPU_PLAYER, "nginx-rtmp", 0.7), Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "storm-5000",
        title: "1 stream, 5,000 players joining within one second",
        work: Work::Load(Load {
            players: 10,
            storm: 5_000,
            ..LOAD
        }),
        entrants: &[tailwater(&[]), NGINX],
        figure: "storm_p99_ms",
        goals: &[
            Goal::NobodyWaits,
            ratio("storm_p99_ms", "nginx-rtmp", 1.0),
            Goal::NothingLost,
        ],
        quick: true,
    },
    Row {
        key: "stall-500",
        title: "2,000 players of which 500 never read",
        // Small buffers and a short leash: the sockets are full and the cursors jump long before
        // the measurement begins.
        work: Work::Load(Load {
            players: 2_000,
            stall: 500,
            warm_up: 10,
            ..LOAD
        }),
        entrants: &[tailwater(&["--sndbuf", "65536", "--lag-max", "262144"])],
        figure: CPU_PLAYER,
        goals: &[Goal::NothingLost, Goal::AtMost("rss_growth_kib", 1_024.0)],
        quick: false,
    },
    Row {
        key: "idle-players",
        title: "user memory of 10,000 idle players",
        work: Work::Load(Load {
            players: 10_000,
            idle: true,
            warm_up: 1,
            seconds: 2,
            ..LOAD
        }),
        entrants: &[tailwater(&["--publish-idle", "600"]), NGINX],
        figure: "rss_per_player_kib",
        goals: &[Goal::AtMost("rss_per_player_kib", 2.0)],
        quick: false,
    },
    Row {
        key: "idle-publishers",
        title: "user memory of 1,000 idle publishers",
        work: Work::Load(Load {
            streams: 1_000,
            idle: true,
            warm_up: 0,
            seconds: 2,
            ..INGEST
        }),
        entrants: &[tailwater(&["--publish-idle", "600"]), NGINX],
        figure: "rss_per_stream_kib",
        goals: &[Goal::AtMost("rss_per_stream_kib", 16.0)],
        quick: false,
    },
    Row {
        key: "workers-2",
        title: "2 workers instead of 1, 500 players, `--pace 0`",
        work: Work::Load(LOAD),
        entrants: &[
            Entrant {
                name: "tailwater, 2 workers",
                program: Program::Tailwater {
                    flags: &["--pace", "0"],
                    workers: 2,
                    door: None,
                },
            },
            tailwater(&["--pace", "0"]),
        ],
        figure: CPU_PLAYER,
        goals: &[ratio(CPU_PLAYER, "tailwater", 1.10), Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "tls-500-paced",
        title: "1 stream, 500 players over TLS and without, `--pace 350`",
        // Whole beats: 60 of them.
        work: Work::Load(Load {
            seconds: 21,
            ..LOAD
        }),
        entrants: &tls(&["--pace", "350"]),
        figure: CPU_PLAYER,
        goals: &[Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "tls-500",
        title: "1 stream, 500 players over TLS and without, `--pace 0`",
        work: Work::Load(LOAD),
        entrants: &tls(&["--pace", "0"]),
        figure: CPU_PLAYER,
        goals: &[Goal::NothingLost],
        quick: true,
    },
    Row {
        key: "tls-500-auto",
        title: "1 stream, 500 players over TLS and without, default flags",
        work: Work::Load(LOAD),
        entrants: &tls(&[]),
        figure: CPU_PLAYER,
        goals: &[Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "http-4000",
        title: "1 stream, 4,000 players, half by HTTP-FLV and all by RTMP, `--pace 350`",
        // Whole beats: 60 of them.
        work: Work::Load(Load {
            players: 4_000,
            checked: 16,
            seconds: 21,
            ..LOAD
        }),
        entrants: &http(&["--pace", "350"]),
        figure: CPU_PLAYER,
        goals: &[ratio(CPU_PLAYER, "tailwater", 1.1), Goal::NothingLost],
        quick: false,
    },
    Row {
        key: "http-500",
        title: "1 stream, 500 players, half by HTTP-FLV and all by RTMP, `--pace 0`",
        work: Work::Load(Load {
            checked: 16,
            ..LOAD
        }),
        entrants: &http(&["--pace", "0"]),
        figure: CPU_PLAYER,
        goals: &[ratio(CPU_PLAYER, "tailwater", 1.1), Goal::NothingLost],
        quick: true,
    },
    Row {
        key: "scrape-2000",
        title: "2,000 players, figures asked for each second and not, `--pace 350`",
        work: Work::Load(Load {
            players: 2_000,
            seconds: 21,
            ..LOAD
        }),
        entrants: &door(
            "tailwater, scraped",
            &["--pace", "350"],
            Speaks::Admin(SCRAPED),
        ),
        figure: CPU_PLAYER,
        goals: &[ratio(CPU_PLAYER, "tailwater", 1.02), Goal::NothingLost],
        quick: true,
    },
    reader_row(
        "reader-128",
        "chunk reader, chunks of 128",
        128,
        &[ratio(NS_PER_MESSAGE, "rml_rtmp", 0.1)],
        true,
    ),
    reader_row(
        "reader-4096",
        "chunk reader, chunks of 4,096",
        4_096,
        &[ratio(NS_PER_MESSAGE, "rml_rtmp", 0.1)],
        false,
    ),
    reader_row(
        "reader-65536",
        "chunk reader, chunks of 65,536",
        65_536,
        &[
            ratio(NS_PER_MESSAGE, "rml_rtmp", 0.1),
            ratio(NS_PER_MESSAGE, "memcpy", 3.0),
        ],
        false,
    ),
];

const fn reader_row(
    key: &'static str,
    title: &'static str,
    chunk_size: usize,
    goals: &'static [Goal],
    quick: bool,
) -> Row {
    Row {
        key,
        title,
        work: Work::Read { chunk_size },
        entrants: &[
            Entrant {
                name: "tailwater",
                program: Program::Reader,
            },
            Entrant {
                name: "rml_rtmp",
                program: Program::RmlReader,
            },
            Entrant {
                name: "memcpy",
                program: Program::Copy,
            },
        ],
        figure: NS_PER_MESSAGE,
        goals,
        quick,
    }
}

impl Load {
    /// A load of a twentieth, for seeing that everything works.
    pub(super) fn quick(self) -> Self {
        let few = |count: usize| count.div_ceil(20);
        Self {
            streams: few(self.streams),
            players: few(self.players),
            checked: self.checked.min(few(self.players)),
            stall: few(self.stall),
            storm: few(self.storm),
            warm_up: 0,
            seconds: 2,
            ..self
        }
    }

    /// As arguments of `load`; those that `floor` has, too, first.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut line = Vec::new();
        for (flag, value) in [
            ("--publishers", self.streams as u64),
            ("--players", self.players as u64),
            ("--checked", self.checked as u64),
            ("--bitrate", self.bitrate),
            ("--warm-up", self.warm_up),
            ("--seconds", self.seconds),
            ("--ramp", RAMP),
        ] {
            line.extend([flag.to_owned(), value.to_string()]);
        }
        line
    }

    /// The rest of the arguments, which only `load` has.
    pub(super) fn more_arguments(&self) -> Vec<String> {
        let mut line = Vec::new();
        for (flag, value) in [("--stall", self.stall), ("--storm", self.storm)] {
            if value > 0 {
                line.extend([flag.to_owned(), value.to_string()]);
            }
        }
        if self.idle {
            line.push("--idle".to_owned());
        }
        line
    }
}

/// New connections a second while the load is put on.
const RAMP: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_goal_compares_with_someone_who_is_there() {
        for row in ROWS {
            for goal in row.goals {
                if let Goal::Ratio { of, .. } = goal {
                    let others = &row.entrants[1..];
                    assert!(
                        others.iter().any(|entrant| entrant.name == *of),
                        "{}",
                        row.key
                    );
                }
            }
        }
    }

    #[test]
    fn keys_are_different() {
        let mut keys: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ROWS.len());
    }

    #[test]
    fn a_load_is_told_in_flags_of_the_commands() {
        let load = Load {
            stall: 500,
            idle: true,
            ..LOAD
        };
        let line = load.arguments().join(" ");
        assert!(line.starts_with("--publishers 1 --players 500"), "{line}");
        assert_eq!(load.more_arguments().join(" "), "--stall 500 --idle");
        let quick = load.quick();
        assert_eq!((quick.streams, quick.players, quick.stall), (1, 25, 25));
    }
}

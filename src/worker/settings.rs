//! What a worker works out of the settings once.

use std::time::Duration;

use crate::config::Config;
use crate::limits;
use crate::rtmp::server::WireSettings;
use crate::stream::log::LogLimits;

/// See the module text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    wire: WireSettings,
    log_limits: LogLimits,
    bitrate_bytes: u64,
    check_every: Duration,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Self {
        // Often enough that no deadline is missed by more than a quarter of itself.
        let quarter = (config.send_timeout / 4).max(Duration::from_millis(100));
        let ping = config.ping.unwrap_or(limits::CHECK_EVERY);
        let bits = config.publish_bitrate_max;
        let time = limits::BITRATE_TIME.as_secs();
        Self {
            wire: WireSettings {
                chunk_size: config.chunk_size,
                window_ack: config.window_ack,
            },
            log_limits: LogLimits {
                chunk_size: config.chunk_size as usize,
                bytes: config.log_bytes as u64,
                lag_bytes: config.lag_max as u64,
                window_ms: u32::try_from(config.window.as_millis()).unwrap_or(u32::MAX),
            },
            bitrate_bytes: bits.map_or(u64::MAX, |bits| (bits / 8).saturating_mul(time)),
            check_every: limits::CHECK_EVERY.min(quarter).min(ping),
        }
    }

    /// What sessions tell their peers.
    pub(super) fn wire(&self) -> WireSettings {
        self.wire
    }

    /// How much the log of a stream keeps.
    pub(super) fn log_limits(&self) -> LogLimits {
        self.log_limits
    }

    /// What a publisher may send in [`limits::BITRATE_TIME`], in bytes.
    pub(super) fn bitrate_bytes(&self) -> u64 {
        self.bitrate_bytes
    }

    /// How often a connection is looked at when nothing nearer is due.
    pub(super) fn check_every(&self) -> Duration {
        self.check_every
    }
}

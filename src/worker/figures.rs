//! What a worker does a few times a second: it writes its figures down for others, and looks at
//! what no event tells of.

use super::core::Core;
use super::ids::WorkerId;
use crate::logging;
use crate::net::transport::Transport;

impl<S: Transport> Core<S> {
    /// Writes down what there is for those who look from outside; a few times a second.
    pub fn publish_stats(&mut self) {
        if self.housekeeping.take(self.now) {
            self.gauges.unlogged += self.notes.tell();
            if self.worker == WorkerId::FIRST {
                // Of the whole process.
                self.gauges.unlogged += logging::take_lost();
            }
            self.outbox.forget_taken();
            self.measure_rates();
        }
        self.bound_lingering();
        self.close_stalled();
        self.review_memory();
        self.audit_streams();
        self.bring_up_gauges();
        self.shared.stats[self.worker].store(&self.gauges, self.targets.as_slice());
        self.gauges.mail_queue = 0;
    }
}

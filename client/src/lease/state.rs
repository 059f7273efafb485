//! The states of a lease and how it moves between them.
//!
//! Renewals and writes have timers of their own: a write that is refused again and again (a topic
//! that the name service does not accept, say) must not let the whole broker expire.

use super::{
    ASSUMED_TTL, Claim, Duration, Heartbeat, Jitter, MAX_PAUSE, MAX_SPREAD, MIN_PAUSE, Outgoing,
    Patch, Refusal, Registration, Reply, Step, StopCause, TopicChange,
};

/// The state machine. Ask [`Lease::step`], do it, tell [`Lease::replied`], ask again.
#[derive(Debug)]
pub(crate) struct Lease {
    /// All that the broker wants known, without claim.
    content: Registration,
    takeover: bool,
    /// Of the last write that was sent.
    claim: Claim,
    phase: Phase,
    /// The registration that stands, as far as we know.
    epoch: Option<u64>,
    /// The whole content must be sent: a patch would not do. Always while there is no epoch.
    whole_due: bool,
    /// The content is still that of the last registration sent: it may go out under the same seq.
    same_content: bool,
    /// Topic changes that no write has carried yet.
    pending: TopicChange,
    in_flight: Option<InFlight>,
    ttl: Duration,
    /// Acknowledged renewals keep the broker routed until then.
    held_until: Option<Duration>,
    renew: Timer,
    write: Timer,
    jitter: Jitter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Active,
    Leaving,
    Stopped(StopCause),
}

/// When something is tried next, and how often in a row it has failed.
#[derive(Debug, Clone, Copy, Default)]
struct Timer {
    at: Duration,
    failures: u32,
}

#[derive(Debug)]
struct InFlight {
    kind: Kind,
    sent_at: Duration,
}

#[derive(Debug)]
enum Kind {
    Register,
    Heartbeat,
    Patch(TopicChange),
    Unregister,
}

impl Lease {
    /// Begins unregistered; the first step registers.
    pub(crate) fn new(
        content: Registration,
        incarnation: u64,
        takeover: bool,
        seed: Option<u64>,
    ) -> Self {
        Self {
            ttl: content.lease_ttl_ms.map_or(ASSUMED_TTL, Duration::from_millis),
            content,
            takeover,
            claim: Claim { incarnation, seq: 0 },
            phase: Phase::Active,
            epoch: None,
            whole_due: true,
            same_content: false,
            pending: TopicChange::default(),
            in_flight: None,
            held_until: None,
            renew: Timer::default(),
            write: Timer::default(),
            jitter: Jitter::new(seed),
        }
    }

    /// The epoch, while registered.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The time until which acknowledged renewals keep the broker routed.
    pub(crate) fn held_until(&self) -> Option<Duration> {
        self.held_until
    }

    /// The ttl in force.
    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Has everything that was asked for been acknowledged?
    pub(crate) fn is_settled(&self) -> bool {
        let writing =
            matches!(&self.in_flight, Some(sent) if !matches!(sent.kind, Kind::Heartbeat));
        !writing && !self.whole_due && !self.has_pending()
    }

    /// Topics have changed: they go out at once, or as soon as nothing is in flight.
    pub(crate) fn change(&mut self, change: TopicChange) {
        for (topic, config) in &change.topics {
            match config {
                Some(config) => self.content.topics.insert(topic.clone(), config.clone()),
                None => self.content.topics.remove(topic),
            };
        }
        if change.data_version.is_some() {
            self.content.data_version = change.data_version;
        }
        self.pending.extend(change);
        self.same_content = false;
    }

    /// Leave: unregister, then stop. A request in flight is given up; what it does, if anything,
    /// is undone by the unregistration's higher seq.
    pub(crate) fn leave(&mut self) {
        if self.phase != Phase::Active {
            return;
        }
        self.in_flight = None;
        self.write = Timer::default();
        self.phase = if self.claim.seq == 0 {
            Phase::Stopped(StopCause::Asked { unregistered: true })
        } else {
            Phase::Leaving
        };
    }

    /// Time is up for leaving: stop without the acknowledgement.
    pub(crate) fn abandon(&mut self) {
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.phase = Phase::Stopped(StopCause::Asked { unregistered: false });
        }
        self.in_flight = None;
    }

    /// What to do at `now`. After [`Step::Send`] not to be asked before [`Lease::replied`].
    pub(crate) fn step(&mut self, now: Duration) -> Step {
        debug_assert!(self.in_flight.is_none(), "one request at a time");
        match self.phase {
            Phase::Stopped(cause) => Step::Stopped(cause),
            Phase::Leaving if now < self.write.at => Step::WaitUntil(self.write.at),
            Phase::Leaving => {
                self.claim.seq += 1;
                let (claim, epoch) = (self.claim, self.epoch);
                self.send(now, Kind::Unregister, Outgoing::Unregister { claim, epoch })
            }
            Phase::Active => self.step_active(now),
        }
    }

    fn step_active(&mut self, now: Duration) -> Step {
        if let Some(epoch) = self.epoch.filter(|_| now >= self.renew.at) {
            let beat = Heartbeat { incarnation: Some(self.claim.incarnation), epoch };
            return self.send(now, Kind::Heartbeat, Outgoing::Heartbeat(beat));
        }
        let has_writes = self.whole_due || self.has_pending();
        if !has_writes || now < self.write.at {
            let write_at = if has_writes { self.write.at } else { Duration::MAX };
            let renew_at = self.epoch.map_or(Duration::MAX, |_| self.renew.at);
            return Step::WaitUntil(write_at.min(renew_at));
        }
        match self.epoch.filter(|_| !self.whole_due) {
            Some(epoch) => self.send_patch(now, epoch),
            None => self.send_whole(now),
        }
    }

    fn send_whole(&mut self, now: Duration) -> Step {
        if !self.same_content {
            self.claim.seq += 1;
            self.same_content = true;
        }
        self.pending = TopicChange::default();
        let registration = Registration {
            incarnation: Some(self.claim.incarnation),
            seq: Some(self.claim.seq),
            ..self.content.clone()
        };
        let takeover = self.takeover;
        self.send(now, Kind::Register, Outgoing::Register { registration, takeover })
    }

    fn send_patch(&mut self, now: Duration, epoch: u64) -> Step {
        self.claim.seq += 1;
        let change = std::mem::take(&mut self.pending);
        let patch = Patch {
            incarnation: self.claim.incarnation,
            epoch,
            seq: self.claim.seq,
            data_version: change.data_version,
            topics: change.topics.clone(),
        };
        self.send(now, Kind::Patch(change), Outgoing::Patch(patch))
    }

    fn send(&mut self, now: Duration, kind: Kind, outgoing: Outgoing) -> Step {
        self.in_flight = Some(InFlight { kind, sent_at: now });
        Step::Send(outgoing)
    }

    /// The reply to the step that was sent.
    pub(crate) fn replied(&mut self, now: Duration, reply: Reply) {
        let Some(InFlight { kind, sent_at }) = self.in_flight.take() else { return };
        match reply {
            Reply::Registered(registered) => {
                self.epoch = Some(registered.epoch);
                self.whole_due = false;
                self.write.failures = 0;
                self.renewed(sent_at, registered.lease_ttl_ms);
            }
            Reply::Renewed(renewed) => self.renewed(sent_at, renewed.lease_ttl_ms),
            // A patch says nothing about the lease: the next renewal stays where it was.
            Reply::Patched(_) => self.write.failures = 0,
            Reply::Unregistered => {
                self.phase = Phase::Stopped(StopCause::Asked { unregistered: true });
            }
            Reply::Refused(refusal) if self.phase == Phase::Leaving => {
                self.leaving_refused(now, refusal);
            }
            Reply::Refused(refusal) => self.refused(now, kind, refusal),
        }
    }

    fn refused(&mut self, now: Duration, kind: Kind, refusal: Refusal) {
        match refusal {
            Refusal::Superseded => {
                (self.epoch, self.held_until) = (None, None);
                self.phase = Phase::Stopped(StopCause::Superseded);
            }
            Refusal::Gone | Refusal::OtherHistory => {
                (self.epoch, self.held_until) = (None, None);
                self.need_whole();
                if matches!(kind, Kind::Register) {
                    self.back_off_write(now, None);
                } else {
                    let spread = self.jitter.between(Duration::ZERO, MAX_SPREAD);
                    self.write = Timer { at: now + spread, failures: 0 };
                }
            }
            Refusal::Stale(highest) => {
                self.overtake(highest);
                self.need_whole();
                self.back_off_write(now, None);
            }
            Refusal::NotDone(pause) => match kind {
                Kind::Heartbeat => self.back_off_renewal(now, pause),
                Kind::Patch(mut change) => {
                    change.extend(std::mem::take(&mut self.pending));
                    self.pending = change;
                    self.back_off_write(now, pause);
                }
                Kind::Register | Kind::Unregister => self.back_off_write(now, pause),
            },
            Refusal::Unknown => match kind {
                Kind::Heartbeat => self.back_off_renewal(now, None),
                Kind::Patch(_) => {
                    self.need_whole();
                    self.back_off_write(now, None);
                }
                Kind::Register | Kind::Unregister => self.back_off_write(now, None),
            },
        }
    }

    fn leaving_refused(&mut self, now: Duration, refusal: Refusal) {
        match refusal {
            // Under that epoch nothing is left. A registration of ours that was given up may have
            // begun another one, which the claim alone still removes.
            Refusal::Gone if self.epoch.is_some() => self.epoch = None,
            // Whatever is registered now is not ours.
            Refusal::Gone | Refusal::Superseded | Refusal::OtherHistory => {
                self.phase = Phase::Stopped(StopCause::Asked { unregistered: true });
            }
            Refusal::Stale(highest) => {
                self.overtake(highest);
                self.back_off_write(now, None);
            }
            Refusal::NotDone(pause) => self.back_off_write(now, pause),
            Refusal::Unknown => self.back_off_write(now, None),
        }
    }

    /// The whole content is to be sent, under a higher seq than any before.
    fn need_whole(&mut self) {
        self.whole_due = true;
        self.same_content = false;
    }

    /// Continues above a seq that the name service knows and we do not. A higher incarnation
    /// would have been told as `superseded`.
    fn overtake(&mut self, highest: Option<Claim>) {
        if let Some(highest) = highest.filter(|known| known.incarnation == self.claim.incarnation) {
            self.claim.seq = self.claim.seq.max(highest.seq);
        }
    }

    fn renewed(&mut self, sent_at: Duration, ttl_ms: u64) {
        self.ttl = Duration::from_millis(ttl_ms.max(1));
        self.held_until = Some(sent_at + self.ttl);
        let pause = self.jitter.between(self.ttl / 4, self.ttl / 3);
        self.renew = Timer { at: sent_at + pause, failures: 0 };
    }

    fn back_off_renewal(&mut self, now: Duration, asked: Option<Duration>) {
        self.renew = self.backed_off(self.renew, now, asked);
    }

    fn back_off_write(&mut self, now: Duration, asked: Option<Duration>) {
        self.write = self.backed_off(self.write, now, asked);
    }

    fn backed_off(&self, timer: Timer, now: Duration, asked: Option<Duration>) -> Timer {
        let cap = MAX_PAUSE.min(self.ttl / 8).max(Duration::from_millis(1));
        let backoff = self.jitter.backoff(timer.failures, MIN_PAUSE.min(cap), cap);
        // "Come again in N seconds" is obeyed, but not until the lease has run out.
        let asked = asked.map_or(Duration::ZERO, |asked| asked.min(self.ttl / 4));
        Timer { at: now + backoff + asked, failures: timer.failures.saturating_add(1) }
    }

    fn has_pending(&self) -> bool {
        !self.pending.topics.is_empty() || self.pending.data_version.is_some()
    }
}

impl TopicChange {
    /// Adds a later change.
    fn extend(&mut self, later: Self) {
        self.topics.extend(later.topics);
        self.data_version = later.data_version.or(self.data_version);
    }
}

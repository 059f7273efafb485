//! Registrations of stock brokers that say nothing new, many at once: every 30 s each broker repeats
//! its whole content to every replica, and one round confirms all repeats that wait for one.

use tokio::time::Instant;

use super::{Judged, Lessor};
use crate::answers::{Heartbeat, Renewal, RenewalAnswer};
use crate::errors::ServiceError;

impl Lessor {
    /// Renews each of these, if what it repeats is still what is registered. The answers are in
    /// the order of the renewals. What can't be answered without a wait must be compared anew.
    ///
    /// # Errors
    /// Nobody could be asked in time: none was renewed.
    pub(crate) async fn renew_unchanged(
        &self,
        renewals: &[Renewal],
        deadline: Instant,
    ) -> Result<Vec<RenewalAnswer>, ServiceError> {
        let round = self.rounds.confirm(deadline).await?;
        let answer = |renewal: &Renewal| {
            let Renewal { key, epoch, content_digest } = renewal;
            let heartbeat = Heartbeat { key: key.clone(), incarnation: None, epoch: *epoch };
            match self.judge(&round, &heartbeat) {
                Judged::Renewed(_) => {}
                Judged::Refused(ServiceError::Unavailable(why)) => return Err(why.into()),
                Judged::Refused(_) | Judged::Expiring(_) | Judged::Outdated => {
                    return Ok(RenewalAnswer::CompareAnew);
                }
            }
            // As of now, which is after the round: "unchanged" is the truth at this moment.
            let serving = self.published.load();
            let live = serving.tables.registration(key).filter(|live| live.epoch == *epoch);
            Ok(match live {
                Some(live) if content_digest.is_none_or(|of| of == live.content_digest) => {
                    let master = if key.id == 0 { None } else { serving.tables.master(&key.name) };
                    RenewalAnswer::Unchanged { master }
                }
                _ => RenewalAnswer::CompareAnew,
            })
        };
        renewals.iter().map(answer).collect()
    }
}

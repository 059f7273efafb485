//! What the door of stock brokers needs: registrations in full, repeats in batches, and the leader's
//! ear for brokers that leave.

use signpost_raft::machine::Index;
use tokio::time::Instant;

use super::call::{Answer, Request};
use super::{NameService, mismatch};
use crate::answers::{Compared, Renewal, RenewalAnswer};
use crate::errors::ServiceError;
use crate::lessor::presence::Standing;
use crate::routes::command::{BrokerKey, Register};

/// What a door knows of brokers' connections.
pub(crate) trait Witness: Send + Sync {
    /// How this broker stands, as far as this door knows. Must be quick.
    fn standing(&self, key: &BrokerKey) -> Standing;
}

impl NameService {
    /// Registers a stock broker; `former` as [`crate::registrar`] says.
    ///
    /// # Errors
    /// LiveElsewhere (a later master holds the address), Expired (a first registration of one topic
    /// alone), Invalid, and what any forwarded write can meet.
    pub(crate) async fn register_stock(
        &self,
        register: Register,
        former: Option<Index>,
        deadline: Instant,
    ) -> Result<Compared, ServiceError> {
        match self.call(Request::RegisterStock { register, former }, deadline).await? {
            Answer::Compared(compared) => Ok(compared),
            other => Err(mismatch(&other)),
        }
    }

    /// Renews each of these, if it says nothing new; answers in their order.
    ///
    /// # Errors
    /// What any forwarded call can meet: then none is answered for.
    pub(crate) async fn renew_unchanged(
        &self,
        renewals: Vec<Renewal>,
        deadline: Instant,
    ) -> Result<Vec<RenewalAnswer>, ServiceError> {
        let asked = renewals.len();
        match self.call(Request::RenewUnchanged(renewals), deadline).await? {
            Answer::Renewals(answers) if answers.len() == asked => Ok(answers),
            other => Err(mismatch(&other)),
        }
    }

    /// Tells the leader that these brokers, which had renewed these epochs, have left this door.
    ///
    /// # Errors
    /// What any forwarded call can meet.
    pub(crate) async fn report_left(
        &self,
        departures: Vec<(BrokerKey, Index)>,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        match self.call(Request::Left(departures), deadline).await? {
            Answer::Done => Ok(()),
            other => Err(mismatch(&other)),
        }
    }

    /// How these brokers stand at this replica's door. Without a door nobody can tell.
    pub(super) fn standings(&self, keys: &[BrokerKey]) -> Vec<Standing> {
        let witness = self.witness.get();
        let standing = |key: &BrokerKey| {
            witness.map_or(Standing::Unseen { since: None }, |witness| witness.standing(key))
        };
        keys.iter().map(standing).collect()
    }
}

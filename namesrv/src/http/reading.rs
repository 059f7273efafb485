//! What reads have in common: how fresh the caller wants them, and the tables at one index.

use super::frame::Call;
use super::names::Invalid;
use super::problem::Fault;
use super::query::Query;
use super::stamp::Provenance;
use super::{Answer, Shared};
use crate::reads::{Consistency, Read};
use crate::routes::RouteTables;

/// The parameters of every read.
const PARAMETERS: &[&str] = &["consistency", "min_index"];

/// `consistency=linearizable|local&min_index=N`; linearizable when it is left out.
pub(super) fn read_of(query: &Query<'_>, call: &Call) -> Result<Read, Invalid> {
    let consistency = match query.text("consistency") {
        None | Some("linearizable") => Consistency::Linearizable,
        Some("local") => Consistency::Local,
        Some(_) => return Err(Invalid::new("consistency", "linearizable or local")),
    };
    Ok(Read { consistency, min_index: query.number("min_index")?, deadline: call.deadline })
}

impl Shared {
    /// Answers from the tables at one index, as fresh as the query asks for.
    pub(super) async fn read<T>(
        &self,
        call: &Call,
        query: Option<&str>,
        look: impl FnOnce(&RouteTables) -> T,
    ) -> Result<Answer<T>, Fault> {
        let read = read_of(&Query::parse(query, PARAMETERS)?, call)?;
        let reading = self.service.reads().read(&read).await?;
        let provenance = Provenance {
            freshness: reading.freshness,
            consistency: read.consistency,
            modified: None,
        };
        Ok(Answer { body: look(&reading.view.tables), provenance })
    }
}

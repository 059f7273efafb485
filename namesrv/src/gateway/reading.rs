//! Reads of stock programs, which cannot say how fresh an answer shall be: the settings do
//! (docs/GUARANTEES.md, "Reads on 9876").

use std::sync::Arc;

use signpost_remoting::{RemotingCommand, Reply};
use tokio::time::Instant;

use super::{Shared, failed};
use crate::config::RemotingReads;
use crate::errors::{ServiceError, Unavailable};
use crate::machine::View;
use crate::reads::{Consistency, Read};

/// The ext field of an answer that was not read linearizably.
const CONSISTENCY_FIELD: &str = "signpostConsistency";

impl Shared {
    /// Answers from the tables. What needs no wait is answered at once, without a task or a timer.
    pub(super) fn read(
        self: &Arc<Self>,
        look: impl FnOnce(&Self, &View) -> RemotingCommand + Send + 'static,
    ) -> Reply {
        if self.answers_locally() {
            return Reply::Now(self.look_locally(look));
        }
        let shared = Arc::clone(self);
        Reply::later(async move {
            let deadline = Instant::now() + shared.config.read_patience;
            let read = Read { consistency: Consistency::Linearizable, min_index: None, deadline };
            match shared.service.reads().read(&read).await {
                Ok(reading) => look(&shared, &reading.view),
                Err(error) if shared.falls_back_on(&error) => shared.look_locally(look),
                Err(error) => failed(&error),
            }
        })
    }

    /// Is it known without asking anybody that a read will be local?
    pub(super) fn answers_locally(&self) -> bool {
        match self.config.reads {
            RemotingReads::Linearizable => false,
            RemotingReads::Local => true,
            RemotingReads::Fallback => {
                matches!(self.service.reads().rounds().leader(), Ok(None))
            }
        }
    }

    /// A read that no quorum has confirmed is still better than none for whoever asks here; one of
    /// a replica that was removed, or never fed, or stops is not.
    fn falls_back_on(&self, error: &ServiceError) -> bool {
        self.config.reads == RemotingReads::Fallback
            && (error.lacks_leader()
                || matches!(
                    error,
                    ServiceError::Overloaded { .. }
                        | ServiceError::Unavailable(Unavailable::Behind { .. })
                ))
    }

    fn look_locally(&self, look: impl FnOnce(&Self, &View) -> RemotingCommand) -> RemotingCommand {
        match self.service.reads().look(|view| look(self, view)) {
            Ok(answer) => local(answer),
            Err(error) => failed(&error),
        }
    }
}

/// Says of an answer that it was read locally.
pub(super) fn local(mut answer: RemotingCommand) -> RemotingCommand {
    answer.ext.insert(CONSISTENCY_FIELD, "local");
    answer
}

//! What a request is answered that is not served.

use signpost_remoting::body::BodyError;
use signpost_remoting::broker::HeaderError;
use signpost_remoting::message::MessageError;
use signpost_remoting::send::FieldError;
use signpost_remoting::{RemotingCommand, response};

use crate::store::StoreError;

/// A refusal: RocketMQ's response code, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: i32,
    pub(crate) remark: String,
}

/// How a request is answered.
pub(crate) type Answer = Result<RemotingCommand, Refused>;

impl Refused {
    pub(crate) fn new(code: i32, remark: impl Into<String>) -> Self {
        Self { code, remark: remark.into() }
    }

    /// RocketMQ's code for what has none of its own.
    pub(crate) fn system(remark: impl Into<String>) -> Self {
        Self::new(response::SYSTEM_ERROR, remark)
    }
}

impl From<Refused> for RemotingCommand {
    fn from(refused: Refused) -> Self {
        Self::error(refused.code, refused.remark)
    }
}

/// The answer as a command.
pub(crate) fn command(answer: Answer) -> RemotingCommand {
    answer.unwrap_or_else(RemotingCommand::from)
}

/// "Done."
pub(crate) fn done() -> RemotingCommand {
    RemotingCommand::response(response::SUCCESS)
}

macro_rules! system_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Self::system(error.to_string())
            }
        })*
    };
}

// As RocketMQ answers what its decoders throw.
system_errors!(HeaderError, BodyError, FieldError, MessageError);

/// What the store refused, surely.
impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Busy { .. } => response::SYSTEM_BUSY,
            StoreError::Illegal(_) | StoreError::TooLarge { .. } => response::MESSAGE_ILLEGAL,
            _ => response::SERVICE_NOT_AVAILABLE,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_the_store_refuses_has_rocketmq_s_codes() {
        let full = StoreError::Full(Arc::new(std::io::ErrorKind::StorageFull.into()));
        for (error, code) in [
            (full, response::SERVICE_NOT_AVAILABLE),
            (StoreError::DiskUsed { used: 91.0, limit: 90.0 }, response::SERVICE_NOT_AVAILABLE),
            (StoreError::Closed, response::SERVICE_NOT_AVAILABLE),
            (StoreError::Busy { pending: 2, limit: 1 }, response::SYSTEM_BUSY),
            (StoreError::TooLarge { bytes: 2, limit: 1 }, response::MESSAGE_ILLEGAL),
        ] {
            assert!(error.is_definite());
            assert_eq!(Refused::from(error.clone()).code, code, "{error}");
        }
    }
}

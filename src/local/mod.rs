//! A whole cluster on this machine, as child processes of this executable: three replicas of the
//! name service and two brokers on loopback. For `dev` and `demo`. One child process is [`signpost_chaos::process::Process`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`plan`] | who listens where, and with which options each is started |
//! | [`cluster`] | all of them: start in order, stop together |

pub(crate) mod cluster;
pub(crate) mod plan;

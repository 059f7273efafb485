//! The HTTP contract (docs/HTTP.md) over one replica whose log does what each test says.
//!
//! | file | holds |
//! | --- | --- |
//! | `door` | the fixture: asks, and checks what every answer must carry |
//! | `writes` | registration, heartbeat, patch, unregister, permission, topics, KV |
//! | `reads` | routes and lists, their consistency and freshness |
//! | `waiting` | reads that wait for a change |
//! | `outcomes` | what is refused, surely or not, and how that is told |
//! | `hostile` | wrong, odd and oversized input: named, and without effect |
//! | `operation` | members, leadership, alarms, probes, metrics |
//! | `client` | the client of this project against this door |
//! | `serving` | a real listener: bounds, keep-alive, the end |

mod client;
mod door;
mod hostile;
mod operation;
mod outcomes;
mod reads;
mod serving;
mod waiting;
mod writes;

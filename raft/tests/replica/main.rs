//! Whole replicas on real sockets and sled disks, driving a small machine.

mod big_entries;
mod cluster;
mod far;
mod founding;
mod machine;
mod membership;
mod reads;
mod snapshots;
mod votes;

//! The checkers' own tests: true histories pass, and each claim broken in several ways is caught.

mod agreement;
mod answers;
mod convergence;
mod durability;
mod leases;
mod linearizable;
mod min_index;
mod order;
mod outcomes;
mod sends;
mod story;
mod whole;

//! The checkers' own tests: true histories pass, and each claim broken in several ways is caught.

mod agreement;
mod answers;
mod convergence;
mod durability;
mod min_index;
mod order;
mod outcomes;
mod story;
mod whole;

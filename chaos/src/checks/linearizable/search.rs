//! The search for an order: Wing and Gong's, with Lowe's memory of what was tried ("Testing for
//! linearizability", 2017), over one object's calls.
//!
//! What was tried is kept as a 128-bit sum over the calls taken, not as a set: two sets of one sum
//! would hide an order, once in about 2^100 searches.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

/// What one object does when it is called.
pub trait Model {
    /// The object.
    type State: Clone + Eq + Hash;
    /// A call, with what it was answered.
    type Call;
    /// The object after this call; None when it would not have answered so.
    fn step(state: &Self::State, call: &Self::Call) -> Option<Self::State>;
}

/// One call of a history.
#[derive(Debug, Clone)]
pub struct Timed<C> {
    /// When it was made.
    pub began: Duration,
    /// When its answer came; None: nobody knows, so it may take effect at any time since, or never.
    pub ended: Option<Duration>,
    /// What it was.
    pub call: C,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is an order that explains all answers.
    Order,
    /// There is none. The longest one leaves this call (its place in the input) unexplained.
    NoOrder {
        /// The first answer that the longest order could not explain.
        stuck_at: usize,
    },
    /// So many steps were not enough.
    CutShort,
}

/// Looks for an order, in at most so many steps.
pub fn search<M: Model>(initial: M::State, calls: &[Timed<M::Call>], steps_max: u64) -> Found {
    let mut list = Events::new(calls);
    let mut state = initial;
    let mut tried: HashSet<(u128, M::State)> = HashSet::new();
    let mut sum: u128 = 0;
    // What was taken, to be taken back: the call, and the state before it.
    let mut taken: Vec<(usize, M::State)> = Vec::new();
    let mut answers_left = calls.iter().filter(|call| call.ended.is_some()).count();
    let mut furthest = (usize::MAX, 0);
    let mut at = list.first();
    for _ in 0..steps_max {
        if answers_left == 0 {
            return Found::Order;
        }
        if let Event::Begin(call) = list.event(at) {
            if let Some(next) = M::step(&state, &calls[call].call)
                && tried.insert((sum ^ mark(call), next.clone()))
            {
                sum ^= mark(call);
                taken.push((call, std::mem::replace(&mut state, next)));
                answers_left -= usize::from(calls[call].ended.is_some());
                list.take(call);
                at = list.first();
            } else {
                at = list.next(at);
            }
            continue;
        }
        // An answer, or the end, before which nothing more can be taken: take the latest back.
        if let Event::End(call) = list.event(at)
            && answers_left < furthest.0
        {
            furthest = (answers_left, call);
        }
        let Some((call, before)) = taken.pop() else {
            return Found::NoOrder { stuck_at: furthest.1 };
        };
        state = before;
        sum ^= mark(call);
        answers_left += usize::from(calls[call].ended.is_some());
        list.put_back(call);
        at = list.next(list.begin_of[call]);
    }
    if answers_left == 0 { Found::Order } else { Found::CutShort }
}

/// A call's share of the sum (SplitMix64's mixing, twice).
fn mark(call: usize) -> u128 {
    let mix = |seed: u64| {
        let mut mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    let call = call as u64;
    u128::from(mix(2 * call + 1)) << 64 | u128::from(mix(2 * call + 2))
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Begin(usize),
    End(usize),
    /// Behind all others.
    Last,
}

/// Begins and answers in the order of time, as a doubly linked list without the calls taken.
struct Events {
    events: Vec<Event>,
    next: Vec<usize>,
    previous: Vec<usize>,
    begin_of: Vec<usize>,
    end_of: Vec<Option<usize>>,
}

impl Events {
    fn new<C>(calls: &[Timed<C>]) -> Events {
        // At one time begins come first: such calls overlap.
        let mut order: Vec<(Duration, u8, usize)> = Vec::new();
        for (number, call) in calls.iter().enumerate() {
            order.push((call.began, 0, number));
            order.extend(call.ended.map(|ended| (ended, 1, number)));
        }
        order.sort_unstable();
        let mut list = Events {
            events: vec![Event::Last],
            next: Vec::new(),
            previous: Vec::new(),
            begin_of: vec![0; calls.len()],
            end_of: vec![None; calls.len()],
        };
        // Place 0 is head and end at once: the list is a ring.
        for (_, kind, call) in order {
            let place = list.events.len();
            if kind == 0 {
                list.begin_of[call] = place;
                list.events.push(Event::Begin(call));
            } else {
                list.end_of[call] = Some(place);
                list.events.push(Event::End(call));
            }
        }
        let length = list.events.len();
        list.next = (0..length).map(|place| (place + 1) % length).collect();
        list.previous = (0..length).map(|place| (place + length - 1) % length).collect();
        list
    }

    fn event(&self, place: usize) -> Event {
        self.events[place]
    }

    fn first(&self) -> usize {
        self.next[0]
    }

    fn next(&self, place: usize) -> usize {
        self.next[place]
    }

    fn take(&mut self, call: usize) {
        self.unlink(self.begin_of[call]);
        if let Some(end) = self.end_of[call] {
            self.unlink(end);
        }
    }

    /// Undoes the latest `take`: each place still knows its neighbours.
    fn put_back(&mut self, call: usize) {
        if let Some(end) = self.end_of[call] {
            self.link(end);
        }
        self.link(self.begin_of[call]);
    }

    fn unlink(&mut self, place: usize) {
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn link(&mut self, place: usize) {
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = place;
        self.previous[next] = place;
    }
}

//! Which links a fault of the network concerns. Pure.

use std::collections::BTreeMap;

use signpost_raft::machine::NodeId;

use super::{Link, Trouble};

/// Both directions between each of `these` and each of `those`.
#[must_use]
pub fn between(these: &[NodeId], those: &[NodeId]) -> Vec<Link> {
    let pairs = these.iter().flat_map(|a| those.iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a != b).flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// One replica and all others.
#[must_use]
pub fn isolated(one: NodeId, all: &[NodeId]) -> Vec<Link> {
    between(&[one], all)
}

/// What this replica sends to any other one.
#[must_use]
pub fn from(one: NodeId, all: &[NodeId]) -> Vec<Link> {
    all.iter().filter(|other| **other != one).map(|other| (one, *other)).collect()
}

/// What any other one sends to this replica.
#[must_use]
pub fn to(one: NodeId, all: &[NodeId]) -> Vec<Link> {
    all.iter().filter(|other| **other != one).map(|other| (*other, one)).collect()
}

/// Only `middle` reaches everybody; the others fall into two halves that do not reach each other.
#[must_use]
pub fn bridge(middle: NodeId, all: &[NodeId]) -> Vec<Link> {
    let others: Vec<NodeId> = all.iter().copied().filter(|id| *id != middle).collect();
    let (left, right) = others.split_at(others.len() / 2);
    between(left, right)
}

/// Each replica reaches only its two neighbours in a ring: every one sees a majority of five, but no
/// two the same one. With three or four a ring is nearly everything, and one link is cut.
#[must_use]
pub fn ring(all: &[NodeId]) -> Vec<Link> {
    let count = all.len();
    if count < 5 {
        return all.get(..2).map_or_else(Vec::new, |two| between(&two[..1], &two[1..]));
    }
    let apart = |a: usize, b: usize| {
        let gap = a.abs_diff(b);
        gap != 1 && gap != count - 1
    };
    let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
    pairs.filter(|(a, b)| a != b && apart(*a, *b)).map(|(a, b)| (all[a], all[b])).collect()
}

/// The same trouble on all of these.
#[must_use]
pub fn trouble(links: Vec<Link>, trouble: Trouble) -> BTreeMap<Link, Trouble> {
    links.into_iter().map(|link| (link, trouble)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn reaches(cut: &[Link], all: &[NodeId], from: NodeId) -> Vec<NodeId> {
        all.iter().copied().filter(|to| *to != from && !cut.contains(&(from, *to))).collect()
    }

    #[test]
    fn an_isolated_replica_reaches_nobody_and_the_others_all_but_it() {
        let cut = isolated(2, &[1, 2, 3]);
        assert!(reaches(&cut, &[1, 2, 3], 2).is_empty());
        assert_eq!(reaches(&cut, &[1, 2, 3], 1), [3]);
    }

    #[test]
    fn one_way_cuts_leave_the_other_way() {
        assert_eq!(from(1, &[1, 2, 3]), [(1, 2), (1, 3)]);
        assert_eq!(to(1, &[1, 2, 3]), [(2, 1), (3, 1)]);
    }

    #[test]
    fn across_a_bridge_only_the_middle_reaches_all() {
        let all = [1, 2, 3, 4, 5];
        let cut = bridge(3, &all);
        assert_eq!(reaches(&cut, &all, 3), [1, 2, 4, 5]);
        assert_eq!(reaches(&cut, &all, 1), [2, 3]);
        assert_eq!(reaches(&cut, &all, 5), [3, 4]);
    }

    #[test]
    fn in_a_ring_of_five_each_sees_a_majority_of_its_own() {
        let all = [1, 2, 3, 4, 5];
        let cut = ring(&all);
        let seen: BTreeSet<Vec<NodeId>> = all
            .iter()
            .map(|one| {
                let mut seen = reaches(&cut, &all, *one);
                assert_eq!(seen.len(), 2, "two neighbours of {one}");
                seen.push(*one);
                seen.sort_unstable();
                seen
            })
            .collect();
        assert_eq!(seen.len(), 5);
        assert_eq!(ring(&[1, 2, 3]), [(1, 2), (2, 1)]);
    }
}

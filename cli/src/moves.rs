//! What moves users for nothing when weights change: another order, another sum, and weight
//! that goes past a version.

/// The destinations of a route at a time: what makes each the same as before, and its weight.
pub(crate) type Parts<K> = [(K, u64)];

/// Returns whether those that are in both have another order.
pub(crate) fn order_differs<K>(
    now: &Parts<K>,
    before: &Parts<K>,
    same: impl Fn(&K, &K) -> bool,
) -> bool {
    let is_in = |all: &Parts<K>, key: &K| all.iter().any(|(other, _)| same(other, key));
    let of_now: Vec<&K> = now
        .iter()
        .map(|(key, _)| key)
        .filter(|key| is_in(before, key))
        .collect();
    let of_before: Vec<&K> = before
        .iter()
        .map(|(key, _)| key)
        .filter(|key| is_in(now, key))
        .collect();
    let mut pairs = of_now.iter().zip(&of_before);
    of_now.len() != of_before.len() || !pairs.all(|(one, other)| same(one, other))
}

/// Returns the sum of the weights.
pub(crate) fn sum<K>(parts: &Parts<K>) -> u64 {
    parts.iter().map(|(_, weight)| weight).sum()
}

/// Returns the place of the first one that weight goes past: both ends of its stretch of
/// the buckets moved the same way, so users left it, though others came.
pub(crate) fn passed<K>(
    now: &Parts<K>,
    before: &Parts<K>,
    same: impl Fn(&K, &K) -> bool,
) -> Option<usize> {
    now.iter().position(|(key, _)| {
        let stretch = |all: &Parts<K>| {
            let place = all.iter().position(|(other, _)| same(other, key))?;
            let (ahead, _) = all.split_at_checked(place)?;
            let own = all.iter().filter(|(other, _)| same(other, key));
            let from = sum(ahead);
            Some((from, from + own.map(|(_, weight)| weight).sum::<u64>()))
        };
        let stretches = stretch(now).zip(stretch(before));
        stretches.is_some_and(|((from, to), (old, old_to))| {
            let is_there = from < to && old < old_to;
            is_there && (from < old && to < old_to || from > old && to > old_to)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_sum_and_shift_are_told_apart() {
        let same = |one: &char, other: &char| one == other;
        let before = [('a', 80), ('b', 10), ('c', 10)];
        for (now, order, past) in [
            (vec![('a', 70), ('b', 20), ('c', 10)], false, None),
            (vec![('a', 70), ('b', 10), ('c', 20)], false, Some(1)),
            (vec![('a', 0), ('b', 0), ('c', 100)], false, None),
            (vec![('b', 10), ('a', 80), ('c', 10)], true, Some(0)),
            (vec![('a', 80), ('c', 20)], false, None),
            (
                vec![('d', 10), ('a', 80), ('b', 10), ('c', 0)],
                false,
                Some(1),
            ),
        ] {
            assert_eq!(order_differs(&now, &before, same), order, "{now:?}");
            assert_eq!(passed(&now, &before, same), past, "{now:?}");
            assert_eq!(sum(&now), 100);
        }
    }
}

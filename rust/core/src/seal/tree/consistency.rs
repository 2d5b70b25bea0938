//! Consistency proofs of RFC 6962 section 2.1.2: a smaller tree is the beginning of a larger one.
//!
//! ```
//! use tallystick_core::{hash::sha256, seal::tree::{consistency::{consistency, is_consistent}, root}};
//! let leaves: Vec<_> = (0..7u32).map(|i| sha256(&[&[0], &i.to_be_bytes()])).collect();
//! let proof = consistency(&leaves, 3);
//! assert!(is_consistent((3, &root(&leaves[..3])), (7, &root(&leaves)), &proof));
//! ```

use super::{empty_root, root, split};
use crate::hash::{Digest, node};

/// The proof that the tree over the first `from` of these leaves is the beginning of the tree over all.
#[must_use]
pub fn consistency(leaves: &[Digest], from: usize) -> Vec<Digest> {
    if from == 0 || from >= leaves.len() {
        return Vec::new();
    }
    part(leaves, from, true)
}

/// SUBPROOF of the RFC; `known` says whether the verifier has the root of the smaller tree.
fn part(leaves: &[Digest], from: usize, known: bool) -> Vec<Digest> {
    if from == leaves.len() {
        return if known { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if from <= left.len() {
        let mut proof = part(left, from, known);
        proof.push(root(right));
        proof
    } else {
        let mut proof = part(right, from - left.len(), false);
        proof.push(root(left));
        proof
    }
}

/// Does a proof show that a tree of so many leaves and this root is the beginning of another one?
#[must_use]
pub fn is_consistent(
    (from, from_root): (u32, &Digest),
    (to, to_root): (u32, &Digest),
    proof: &[Digest],
) -> bool {
    if from == 0 {
        return proof.is_empty() && *from_root == empty_root();
    }
    if from >= to {
        return from == to && proof.is_empty() && from_root == to_root;
    }
    let given = if from.is_power_of_two() { Some(*from_root) } else { None };
    let mut steps = given.iter().chain(proof);
    let Some(first) = steps.next() else { return false };
    let (mut old, mut new) = (*first, *first);
    let (mut at, mut last) = (from - 1, to - 1);
    (at, last) = (at >> at.trailing_ones(), last >> at.trailing_ones());
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node(step, &old), node(step, &new));
            let up = if at == 0 { 0 } else { at.trailing_zeros() };
            (at, last) = (at >> up, last >> up);
        } else {
            new = node(&new, step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *from_root && new == *to_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    #[test]
    fn a_proof_holds_for_its_two_trees_and_for_no_other() {
        let all: Vec<Digest> = (0..40u32).map(|i| sha256(&[&[0], &i.to_be_bytes()])).collect();
        let mut other = all.clone();
        other[0] = [7; 32];
        for to in 1..=40usize {
            for from in 0..=to {
                let size = |n: usize| u32::try_from(n).unwrap_or(0);
                let proof = consistency(&all[..to], from);
                let (old, new) = (root(&all[..from]), root(&all[..to]));
                assert!(is_consistent((size(from), &old), (size(to), &new), &proof), "{from} to {to}");
                if from == 0 || from == to {
                    continue;
                }
                let rewritten = root(&other[..to]);
                let forged = consistency(&other[..to], from);
                for proof in [&proof, &forged] {
                    assert!(
                        !is_consistent((size(from), &old), (size(to), &rewritten), proof),
                        "{from} to {to}"
                    );
                }
                assert!(!is_consistent((size(from), &old), (size(to), &new), &proof[1..]));
                let longer = [&proof[..], &[old]].concat();
                assert!(!is_consistent((size(from), &old), (size(to), &new), &longer));
            }
        }
    }
}

//! Which department stands under which, on every shard. In memory only: the home of the directory tells it at its start and
//! with each change.

use std::collections::{BTreeMap, BTreeSet};

use record::ORG_DEPTH_MAX;
use wire::Refusal;

use super::TreeChanges;

#[derive(Debug, Default)]
pub(super) struct Tree {
    /// 0: at the top.
    parents: BTreeMap<u32, u32>,
    /// The home of the directory has begun to tell.
    told: bool,
}

impl Tree {
    pub fn handle(&mut self, afresh: bool, changes: &TreeChanges) {
        if afresh {
            self.parents.clear();
            self.told = true;
        }
        for (department, parent) in changes.iter() {
            match parent {
                Some(parent) => _ = self.parents.insert(*department, *parent),
                None => _ = self.parents.remove(department),
            }
        }
    }

    /// # Errors
    /// When there is no such department, or nobody knows yet.
    pub fn check(&self, department: u32) -> Result<(), Refusal> {
        match self.parents.contains_key(&department) {
            true => Ok(()),
            false if self.told => Err(Refusal::UnknownDepartment),
            false => Err(Refusal::Busy),
        }
    }

    /// These and all above them, as far as they are known, ascending.
    pub fn above(&self, direct: &[u32]) -> Vec<u32> {
        let mut all = BTreeSet::new();
        for department in direct {
            let mut at = *department;
            for _ in 0..ORG_DEPTH_MAX {
                let Some(parent) = self.parents.get(&at) else { break };
                if !all.insert(at) || *parent == 0 {
                    break;
                }
                at = *parent;
            }
        }
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_above_come_once() {
        let mut tree = Tree::default();
        assert_eq!(tree.check(1), Err(Refusal::Busy), "it was not told yet");
        tree.handle(true, &vec![(1, Some(0)), (2, Some(1)), (3, Some(1)), (4, Some(2))].into());
        assert_eq!(tree.above(&[4, 3]), [1, 2, 3, 4]);
        assert_eq!(tree.above(&[9]), [0u32; 0], "not there any more");
        assert_eq!((tree.check(2), tree.check(9)), (Ok(()), Err(Refusal::UnknownDepartment)));
        tree.handle(false, &vec![(4, Some(3)), (2, None)].into());
        assert_eq!(tree.check(2), Err(Refusal::UnknownDepartment));
        assert_eq!(tree.above(&[4]), [1, 3, 4]);
    }
}

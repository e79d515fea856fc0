//! What one plan can take over from another: parts, tests made ready, and searches.
//!
//! Whoever compiles a set again and again keeps the part of each rule ([`PlanPart`]: its fields and atoms
//! under numbers of its own), the tests that were made ready once ([`Tests`]) and the searches of the
//! last plan ([`Searches`]). A plan made with them is the plan made without them: a part is added as its
//! rule would be, and a search is taken over only if it is for the same texts in the same order.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use crate::atom::{FieldProbe, Probe, Test};
use crate::field_index::FieldId;
use crate::hash::HashMap;
use crate::literal_search::LiteralSearch;
use crate::path::PathStep;
use crate::tails::{Edge, Tails};

/// The fields and atoms of a part of a plan, numbered from its beginning.
#[derive(Debug)]
pub struct PlanPart {
    /// From number 1 on.
    pub(crate) fields: Vec<PartField>,
    pub(crate) atoms: Vec<(FieldId, SharedTest, Probe)>,
}

#[derive(Debug)]
pub(crate) struct PartField {
    pub(crate) name: Box<str>,
    /// The path that has to be walked, if one has.
    pub(crate) walk: Option<Box<[PathStep]>>,
}

/// A test that many plans have, and its hash.
#[derive(Debug, Clone)]
pub(crate) struct SharedTest {
    hash: u64,
    test: Arc<Test>,
}

/// One for the process, so that a hash is the same wherever a test comes from.
static HASHES: LazyLock<foldhash::quality::RandomState> =
    LazyLock::new(foldhash::quality::RandomState::default);

impl SharedTest {
    pub(crate) fn new(test: Test) -> Self {
        Self { hash: HASHES.hash_one(&test), test: Arc::new(test) }
    }

    pub(crate) fn get(&self) -> &Test {
        &self.test
    }

    /// The same test with other numbers for the fields it names.
    pub(crate) fn with_fields(&self, fields: &[FieldId]) -> Self {
        match &*self.test {
            Test::FieldRef { other, relation, cased } => {
                let other = fields[other.0 as usize];
                Self::new(Test::FieldRef { other, relation: *relation, cased: *cased })
            }
            _ => self.clone(),
        }
    }
}

impl PartialEq for SharedTest {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.test, &other.test) || self.test == other.test)
    }
}

impl Eq for SharedTest {}

impl Hash for SharedTest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Probe {
    /// The same with other numbers for the fields it names.
    pub(crate) fn with_fields(&self, fields: &[FieldId]) -> Self {
        match self {
            Self::Field(FieldProbe::FieldRef { other, relation, cased }) => {
                let (other, relation, cased) = (fields[other.0 as usize], *relation, *cased);
                Self::Field(FieldProbe::FieldRef { other, relation, cased })
            }
            probe => probe.clone(),
        }
    }
}

/// Tests that were made ready.
#[derive(Debug, Default)]
pub struct Tests(HashMap<SharedTest, Probe>);

impl Tests {
    /// A test made ready, now or before.
    pub(crate) fn make(&mut self, test: SharedTest) -> Result<(SharedTest, Probe), String> {
        if let Some((test, probe)) = self.0.get_key_value(&test) {
            return Ok((test.clone(), probe.clone()));
        }
        let probe = Probe::new(test.get())?;
        self.0.insert(test.clone(), probe.clone());
        Ok((test, probe))
    }

    /// Forgets those that no part has, once they may be many.
    pub fn forget_others(&mut self, parts_atoms: usize) {
        if self.0.len() > 2 * parts_atoms + 1024 {
            self.0.retain(|test, _| Arc::strong_count(&test.test) > 1);
        }
    }
}

/// The searches of the last plan, by what they look for.
#[derive(Debug, Default)]
pub struct Searches {
    tails: HashMap<Box<[u8]>, Kept<Tails>>,
    literals: HashMap<Box<[u8]>, Kept<LiteralSearch>>,
}

#[derive(Debug)]
struct Kept<S> {
    search: Arc<S>,
    is_used: bool,
}

impl Searches {
    /// A search for texts at one end; none for no texts.
    pub(crate) fn tails(&mut self, patterns: Vec<Box<[u8]>>, edge: Edge) -> Option<Arc<Tails>> {
        let key = key(&patterns, edge as u8);
        if let Some(kept) = self.tails.get_mut(&key) {
            kept.is_used = true;
            return Some(Arc::clone(&kept.search));
        }
        let search = Arc::new(Tails::new(patterns, edge)?);
        self.tails.insert(key, Kept { search: Arc::clone(&search), is_used: true });
        Some(search)
    }

    /// A search for texts anywhere.
    pub(crate) fn literals(&mut self, patterns: &[Box<[u8]>]) -> Arc<LiteralSearch> {
        let make = || {
            let search = LiteralSearch::new(patterns.iter().map(|pattern| &**pattern));
            Kept { search: Arc::new(search), is_used: true }
        };
        let kept = self.literals.entry(key(patterns, 0)).or_insert_with(make);
        kept.is_used = true;
        Arc::clone(&kept.search)
    }

    /// Forgets what was not asked for since it was called last.
    pub(crate) fn forget_others(&mut self) {
        self.tails.retain(|_, kept| std::mem::take(&mut kept.is_used));
        self.literals.retain(|_, kept| std::mem::take(&mut kept.is_used));
    }
}

/// All texts in one, so that no two lists are the same.
fn key(patterns: &[Box<[u8]>], kind: u8) -> Box<[u8]> {
    let len: usize = patterns.iter().map(|pattern| pattern.len() + 4).sum();
    let mut key = Vec::with_capacity(len + 1);
    key.push(kind);
    for pattern in patterns {
        let len = u32::try_from(pattern.len()).expect("a rule is shorter than 4 GiB");
        key.extend_from_slice(&len.to_le_bytes());
        key.extend_from_slice(pattern);
    }
    key.into()
}

//! Which of the documents that are there make a rule set, and in which form.
//!
//! In: all documents, in order. Out: those that run, after the pipelines, each with the hash of its
//! version; what was left out and why. A rule that does not pass the filters is there all the same, and
//! silent, where a correlation that passes builds on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sigmill_codegen::{Links, RuleDocument};
use sigmill_parser::{Document, Logsource, Outcome};

use super::RuleStoreConfig;
use super::loaded::{ActiveRule, Loaded, asks_for_logsource, is_rule_of_logsource};
use crate::detection::version_hash;

/// Correlations that stand on more others than this do not compile.
const DEPTH_MAX: usize = 64;

/// The documents of a set, and the others.
#[derive(Default)]
pub(super) struct Selection {
    pub(super) rules: Vec<Arc<ActiveRule>>,
    /// Indices of those that are there for correlations alone.
    pub(super) silent: BTreeSet<usize>,
    /// Names and ids of those that are not in the set → why.
    pub(super) absent: BTreeMap<String, String>,
    /// Rules whose log source no pipeline gave a condition.
    pub(super) dropped: Vec<Dropped>,
    /// Those that a pipeline refuses, and why.
    pub(super) refused: Vec<(Arc<Loaded>, String)>,
}

/// A rule whose log source no pipeline has a condition for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// Its log source, in words.
    pub logsource: String,
    /// Its title.
    pub title: String,
}

/// What was in force before, to be used again where nothing has changed.
pub(super) type Known = HashMap<(*const Loaded, String), Arc<ActiveRule>>;

pub(super) fn select(all: &[Arc<Loaded>], config: &RuleStoreConfig, known: &Known) -> Selection {
    let mut selection = Selection::default();
    let documents: Vec<RuleDocument> = all.iter().map(|one| one.document.clone()).collect();
    let links = Links::of(&documents);
    let passing = passing(all, &links, config);
    let needed = needed(&passing, &links);
    let absent = |document: &RuleDocument, why: &str| {
        let names: Vec<String> =
            [document.id(), document.name()].into_iter().flatten().map(str::to_owned).collect();
        names.into_iter().map(move |name| (name, why.to_owned())).collect::<Vec<_>>()
    };
    let mut hashes = Hashes::new(all, &links, config);
    let kept: Vec<usize> = (0..all.len()).filter(|at| needed[*at]).collect();
    for (at, outcome) in kept.iter().copied().zip(piped(&kept, &documents, config)) {
        let document = match outcome {
            Piped::Active(document) => document,
            Piped::Merged => continue,
            Piped::Dropped => {
                let why = "is left out, as no pipeline has a condition for its log source";
                selection.absent.extend(absent(&documents[at], why));
                selection.dropped.push(Dropped {
                    logsource: logsource(&documents[at]),
                    title: documents[at].title().to_owned(),
                });
                continue;
            }
            Piped::Refused(why) => {
                selection.absent.extend(absent(&documents[at], "is refused by a pipeline"));
                selection.refused.push((Arc::clone(&all[at]), why));
                continue;
            }
        };
        if !passing[at] {
            selection.silent.insert(selection.rules.len());
        }
        let hash = hashes.of(at, 0);
        let rule = match known.get(&(Arc::as_ptr(&all[at]), hash.clone())) {
            Some(rule) => Arc::clone(rule),
            None => Arc::new(ActiveRule::new(&all[at], document, hash, config)),
        };
        selection.rules.push(rule);
    }
    selection
}

fn logsource(document: &RuleDocument) -> String {
    match document {
        RuleDocument::Rule(rule) => rule.logsource.as_ref(),
        _ => None,
    }
    .map_or_else(|| "no log source".to_owned(), Logsource::describe)
}

/// Whether each document passes the filters.
fn passing(all: &[Arc<Loaded>], links: &Links, config: &RuleStoreConfig) -> Vec<bool> {
    let mut passing: Vec<bool> = all.iter().map(|one| one.passes).collect();
    if !asks_for_logsource(&config.filter) {
        return passing;
    }
    let is_base: Vec<bool> =
        all.iter().map(|one| is_rule_of_logsource(&config.filter, &one.document)).collect();
    for (at, one) in all.iter().enumerate() {
        if matches!(one.document, RuleDocument::Correlation(_)) {
            passing[at] &= reached(&[at], &links.names).into_iter().any(|inner| is_base[inner]);
        }
    }
    passing
}

/// Those that pass, and what they build on.
fn needed(passing: &[bool], links: &Links) -> Vec<bool> {
    let roots: Vec<usize> = (0..passing.len()).filter(|at| passing[*at]).collect();
    let mut needed = vec![false; passing.len()];
    reached(&roots, &links.names).into_iter().for_each(|at| needed[at] = true);
    needed
}

/// These, and all that they lead to.
fn reached(roots: &[usize], edges: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = roots.to_vec();
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            open.extend(&edges[at]);
        }
    }
    seen
}

/// What becomes of a document under the pipelines.
enum Piped {
    Active(RuleDocument),
    Merged,
    Dropped,
    Refused(String),
}

fn piped(kept: &[usize], documents: &[RuleDocument], config: &RuleStoreConfig) -> Vec<Piped> {
    let own = kept.iter().map(|at| documents[*at].clone());
    if config.pipelines.is_empty() {
        return own.map(Piped::Active).collect();
    }
    let own: Vec<Document> = own.map(Document::from).collect();
    let outcomes = config.pipelines.apply(&own.iter().collect::<Vec<_>>());
    outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Active(document) => Piped::Active(document.into()),
            Outcome::Merged => Piped::Merged,
            Outcome::Refused(diagnostic) => {
                Piped::Refused(format!("[{}] {}", diagnostic.code.as_str(), diagnostic.message))
            }
            _ => Piped::Dropped,
        })
        .collect()
}

/// The hashes of versions: a document's own, unless something beside it shapes what it means.
struct Hashes<'a> {
    all: &'a [Arc<Loaded>],
    links: &'a Links,
    /// Of the pipelines and the field mapping; empty if there are none.
    surroundings: String,
    known: HashMap<usize, String>,
}

impl<'a> Hashes<'a> {
    fn new(all: &'a [Arc<Loaded>], links: &'a Links, config: &RuleStoreConfig) -> Self {
        let mut surroundings = config.pipelines_text.clone();
        for (field, targets) in &config.field_mapping.fields {
            surroundings.push_str(&format!("\n{field}: {targets:?}"));
        }
        Self { all, links, surroundings, known: HashMap::new() }
    }

    fn of(&mut self, at: usize, depth: usize) -> String {
        if let Some(hash) = self.known.get(&at) {
            return hash.clone();
        }
        // In a circle, which does not compile, its own has to do.
        let own = self.all[at].hash.clone();
        self.known.insert(at, own.clone());
        let links = self.links;
        let filters = links.filters[at].iter().map(|filter| self.all[*filter].hash.clone());
        let mut parts: Vec<String> = filters.collect();
        parts.sort_unstable();
        if depth < DEPTH_MAX {
            parts.extend(links.names[at].iter().map(|inner| self.of(*inner, depth + 1)));
        }
        if !self.surroundings.is_empty() {
            parts.push(self.surroundings.clone());
        }
        if parts.is_empty() {
            return own;
        }
        let hash = version_hash(&format!("{own}\n{}", parts.join("\n")));
        self.known.insert(at, hash.clone());
        hash
    }
}

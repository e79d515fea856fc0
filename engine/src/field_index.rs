//! Which keys of a record lead to which fields: the plan's half of step 3.
//!
//! A rule's field `a.b.c` is a key of just that name, or steps into nested objects at any of its
//! dots. So the names form a small automaton over keys: a node is the part of a name that is behind
//! us, an edge is a key. From the root, the keys `a`, `a.b` and `a.b.c` lead towards `a.b.c`; the
//! last one ends it. A name that begins with `$.` is a path: each dot is a step, always, but for one
//! behind a backslash, which belongs to its key. Paths with other steps than keys are only kept here, for
//! [`crate::path`] to walk.

use crate::hash::HashMap;
use crate::path::PathStep;

/// A field that some rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u32);

/// Stands for "any value of the record" in atoms of keywords.
pub const KEYWORDS: FieldId = FieldId(0);

/// A place in nested objects from which fields can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// Where every record begins.
pub(crate) const ROOT: NodeId = NodeId(0);

/// What a key means at a node.
#[derive(Debug, Default)]
pub(crate) struct KeyAction {
    /// The fields whose value this key holds, and whether nested objects could have held it too.
    pub(crate) fields: Vec<(FieldId, bool)>,
    /// Where to go on if the value is an object, or an array of objects.
    pub(crate) descend: Vec<NodeId>,
}

/// An index into [`FieldIndex::actions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionId(pub(crate) u32);

/// The names of all fields, ready to be looked up by key.
#[derive(Debug)]
pub struct FieldIndex {
    names: Vec<Box<str>>,
    ids: HashMap<Box<str>, FieldId>,
    nodes: Vec<HashMap<Box<[u8]>, ActionId>>,
    actions: Vec<KeyAction>,
    /// Nodes by the part of a name behind them.
    prefixes: HashMap<Box<str>, NodeId>,
    walks: Vec<(FieldId, Box<[PathStep]>)>,
}

impl Default for FieldIndex {
    fn default() -> Self {
        Self {
            names: vec!["".into()],
            ids: HashMap::default(),
            nodes: vec![HashMap::default()],
            actions: Vec::new(),
            prefixes: HashMap::default(),
            walks: Vec::new(),
        }
    }
}

/// A field name has more steps than this: refused, since its ways grow with their square.
pub const FIELD_STEPS_MAX: usize = 64;

impl FieldIndex {
    /// The id of a field, new or known. `None` if the name has more than [`FIELD_STEPS_MAX`] steps.
    pub fn intern(&mut self, name: &str) -> Option<FieldId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        if name.bytes().filter(|b| *b == b'.').count() >= FIELD_STEPS_MAX {
            return None;
        }
        let id = self.add(name)?;
        match name.strip_prefix("$.") {
            Some(path) => self.add_path(path, id),
            None => self.add_name(name, id),
        }
        Some(id)
    }

    /// The id of a field that is found by walking a path, new or known. `None` if there are too many fields.
    pub fn intern_walk(&mut self, name: &str, steps: Vec<PathStep>) -> Option<FieldId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let id = self.add(name)?;
        self.walks.push((id, steps.into()));
        Some(id)
    }

    fn add(&mut self, name: &str) -> Option<FieldId> {
        let id = FieldId(u32::try_from(self.names.len()).ok()?);
        self.names.push(name.into());
        self.ids.insert(name.into(), id);
        Some(id)
    }

    /// The fields that are found by walking, with their paths.
    pub(crate) fn walks(&self) -> &[(FieldId, Box<[PathStep]>)] {
        &self.walks
    }

    /// The fields but for the keywords, in the order of their ids, with their paths.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, Option<&[PathStep]>)> {
        let walk =
            |id| self.walks.iter().find(|(field, _)| *field == id).map(|(_, steps)| &**steps);
        let names = self.names.iter().enumerate().skip(1);
        names.map(move |(at, name)| (&**name, walk(FieldId(at as u32))))
    }

    /// The id of a known field.
    pub(crate) fn find(&self, name: &str) -> Option<FieldId> {
        self.ids.get(name).copied()
    }

    /// Every way to cut the name into keys.
    fn add_name(&mut self, name: &str, id: FieldId) {
        let cuts: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
        // From the root and from behind each dot.
        for from in std::iter::once(None).chain(cuts.iter().map(|cut| Some(*cut))) {
            let (node, start) = match from {
                None => (ROOT, 0),
                Some(cut) => (self.node(&name[..cut]), cut + 1),
            };
            for cut in cuts.iter().filter(|cut| **cut >= start) {
                let next = self.node(&name[..*cut]);
                let action = self.action(node, &name[start..*cut]);
                if !action.descend.contains(&next) {
                    action.descend.push(next);
                }
            }
            let rest = &name[start..];
            self.action(node, rest).fields.push((id, rest.contains('.')));
        }
    }

    /// One step for each dot.
    fn add_path(&mut self, path: &str, id: FieldId) {
        let mut node = ROOT;
        let mut key = String::new();
        let mut chars = path.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '.' => {
                    let next = self.node(&format!("$.{}", &path[..at]));
                    let action = self.action(node, &key);
                    if !action.descend.contains(&next) {
                        action.descend.push(next);
                    }
                    node = next;
                    key.clear();
                }
                '\\' => key.extend(chars.next().map(|(_, escaped)| escaped)),
                c => key.push(c),
            }
        }
        self.action(node, &key).fields.push((id, false));
    }

    fn node(&mut self, prefix: &str) -> NodeId {
        let next = NodeId(self.nodes.len() as u32);
        let node = *self.prefixes.entry(prefix.into()).or_insert(next);
        if node == next {
            self.nodes.push(HashMap::default());
        }
        node
    }

    fn action(&mut self, node: NodeId, key: &str) -> &mut KeyAction {
        let next = ActionId(self.actions.len() as u32);
        let id = *self.nodes[node.0 as usize].entry(key.as_bytes().into()).or_insert(next);
        if id == next {
            self.actions.push(KeyAction::default());
        }
        &mut self.actions[id.0 as usize]
    }

    /// What a key means at a node.
    pub(crate) fn look_up(&self, node: NodeId, key: &[u8]) -> Option<ActionId> {
        self.nodes[node.0 as usize].get(key).copied()
    }

    /// The action of that id.
    pub(crate) fn key_action(&self, id: ActionId) -> &KeyAction {
        &self.actions[id.0 as usize]
    }

    /// How many fields there are, the keywords' included.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many nodes there are.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The name of a field; empty for the keywords.
    pub fn name(&self, id: FieldId) -> &str {
        &self.names[id.0 as usize]
    }
}

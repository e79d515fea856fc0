//! Remembers the key sequences of records, so that a key usually costs one compare.
//!
//! Records of one source have the same keys in the same order. A shape is a path in a trie of keys;
//! each node knows what its key means (see [`crate::field_index`]) and whether the same key came
//! before in its object, and guesses the key that follows.
//!
//! # Soundness
//! A guess is compared with the key's bytes before it is believed. The trie is bounded: when it is
//! full the caller looks keys up one by one (slower, same result) until the trie may start anew.
//! `codegen/tests/differential.rs` runs records of random shapes against the reference.

use crate::field_index::{ActionId, FieldIndex, NodeId};
use crate::text;

/// Most nodes of a trie.
const NODES_MAX: usize = 1 << 15;
/// Bytes of keys that a trie keeps.
const KEY_BYTES_MAX: usize = 4 << 20;
/// Records between two fresh starts of a full trie.
const RECORDS_BETWEEN_RESETS: u32 = 20_000;
/// Keys of one object that a trie keeps; each new one is compared with all before it.
const OBJECT_KEYS_MAX: u32 = 1024;
/// Guesses kept inside a node.
const GUESSES: usize = 4;

/// A node of the trie: an object's keys up to and with this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShapeId(u32);

const NONE: u32 = u32::MAX;

/// A key with its quotes and colon, as records of tight spelling have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) bytes: [u8; TOKEN_BYTES],
    /// 0 if the key is longer than a token.
    pub(crate) len: u8,
}

/// Longest token.
pub(crate) const TOKEN_BYTES: usize = 32;

impl Token {
    fn new(key: &[u8]) -> Self {
        let mut token = Self { bytes: [0; TOKEN_BYTES], len: 0 };
        let len = key.len() + 3;
        if len <= TOKEN_BYTES {
            token.bytes[0] = b'"';
            token.bytes[1..=key.len()].copy_from_slice(key);
            token.bytes[len - 2..len].copy_from_slice(b"\":");
            token.len = len as u8;
        }
        token
    }
}

#[derive(Debug)]
struct Node {
    token: Token,
    key_start: u32,
    key_len: u32,
    key_is_escaped: bool,
    is_repeated: bool,
    action: Option<ActionId>,
    parent: u32,
    depth: u32,
    /// The nodes that followed, the most lately found first.
    guesses: [u32; GUESSES],
    /// All nodes that follow, chained by `sibling`.
    first_child: u32,
    sibling: u32,
}

/// What a step of the trie says of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) shape: ShapeId,
    pub(crate) action: Option<ActionId>,
    /// The key was in this object before.
    pub(crate) is_repeated: bool,
}

/// The trie, one per worker and plan.
#[derive(Debug)]
pub(crate) struct Shapes {
    nodes: Vec<Node>,
    keys: Vec<u8>,
    /// Roots by [`NodeId`]; the last is for objects in which no field can be.
    root_count: usize,
    records_since_reset: u32,
    scratch: Vec<u8>,
}

impl Shapes {
    pub(crate) fn new(index: &FieldIndex) -> Self {
        let mut shapes = Self {
            nodes: Vec::new(),
            keys: Vec::new(),
            root_count: index.node_count() + 1,
            records_since_reset: 0,
            scratch: Vec::new(),
        };
        shapes.reset();
        shapes
    }

    fn reset(&mut self) {
        self.nodes.clear();
        self.keys.clear();
        self.records_since_reset = 0;
        for _ in 0..self.root_count {
            self.nodes.push(Node::new(0, 0, false, NONE));
        }
    }

    /// To be called once a record: a trie that is full may start anew.
    pub(crate) fn begin_record(&mut self) {
        self.records_since_reset = self.records_since_reset.saturating_add(1);
        if self.is_full() && self.records_since_reset > RECORDS_BETWEEN_RESETS {
            self.reset();
        }
    }

    fn is_full(&self) -> bool {
        self.nodes.len() >= NODES_MAX + self.root_count || self.keys.len() >= KEY_BYTES_MAX
    }

    /// The start of an object; `None` for one in which no field can be.
    pub(crate) fn root(&self, node: Option<NodeId>) -> ShapeId {
        ShapeId(node.map_or(self.root_count as u32 - 1, |node| node.0))
    }

    /// Goes on by a key as it stands in the record; `None` if the trie is full.
    #[inline]
    pub(crate) fn step(
        &mut self,
        from: ShapeId,
        key: &[u8],
        key_is_escaped: bool,
        index: &FieldIndex,
        node: Option<NodeId>,
    ) -> Option<Step> {
        let guess = self.nodes[from.0 as usize].guesses[0];
        if guess != NONE && self.has_key(guess, key) {
            return Some(self.result(guess));
        }
        self.step_slow(from, key, key_is_escaped, index, node)
    }

    /// The key that is likeliest to follow.
    #[inline(always)]
    pub(crate) fn guess(&self, from: ShapeId) -> Option<(&Token, Step)> {
        let guess = self.nodes[from.0 as usize].guesses[0];
        if guess == NONE {
            return None;
        }
        let node = &self.nodes[guess as usize];
        let (action, is_repeated) = (node.action, node.is_repeated);
        Some((&node.token, Step { shape: ShapeId(guess), action, is_repeated }))
    }

    fn step_slow(
        &mut self,
        from: ShapeId,
        key: &[u8],
        key_is_escaped: bool,
        index: &FieldIndex,
        node: Option<NodeId>,
    ) -> Option<Step> {
        for i in 1..GUESSES {
            let guess = self.nodes[from.0 as usize].guesses[i];
            if guess != NONE && self.has_key(guess, key) {
                self.nodes[from.0 as usize].guesses[..=i].rotate_right(1);
                return Some(self.result(guess));
            }
        }
        let mut child = self.nodes[from.0 as usize].first_child;
        let mut siblings = 0;
        while child != NONE && !self.has_key(child, key) {
            child = self.nodes[child as usize].sibling;
            siblings += 1;
        }
        if child == NONE {
            // A node that nearly every record leaves by another key is not worth remembering.
            if self.is_full()
                || siblings >= 64
                || self.nodes[from.0 as usize].depth >= OBJECT_KEYS_MAX
            {
                return None;
            }
            child = self.add(from, key, key_is_escaped, index, node);
        }
        let guesses = &mut self.nodes[from.0 as usize].guesses;
        guesses.rotate_right(1);
        guesses[0] = child;
        Some(self.result(child))
    }

    fn has_key(&self, node: u32, key: &[u8]) -> bool {
        self.key(node) == key
    }

    fn key(&self, node: u32) -> &[u8] {
        let node = &self.nodes[node as usize];
        &self.keys[node.key_start as usize..(node.key_start + node.key_len) as usize]
    }

    fn result(&self, node: u32) -> Step {
        let at = &self.nodes[node as usize];
        Step { shape: ShapeId(node), action: at.action, is_repeated: at.is_repeated }
    }

    fn add(
        &mut self,
        from: ShapeId,
        key: &[u8],
        key_is_escaped: bool,
        index: &FieldIndex,
        node: Option<NodeId>,
    ) -> u32 {
        let id = self.nodes.len() as u32;
        let mut plain = std::mem::take(&mut self.scratch);
        plain.clear();
        text::unescape(key, &mut plain);
        let mut added = Node::new(self.keys.len() as u32, key.len() as u32, key_is_escaped, from.0);
        added.action = node.and_then(|node| index.look_up(node, &plain));
        added.is_repeated = self.is_behind(from.0, &plain);
        added.token = Token::new(key);
        added.depth = self.nodes[from.0 as usize].depth + 1;
        added.sibling = self.nodes[from.0 as usize].first_child;
        self.keys.extend_from_slice(key);
        self.nodes.push(added);
        self.nodes[from.0 as usize].first_child = id;
        self.scratch = plain;
        id
    }

    /// Whether the key `plain` is on the way from the root to `at`.
    fn is_behind(&self, mut at: u32, plain: &[u8]) -> bool {
        let mut spelled = Vec::new();
        while self.nodes[at as usize].parent != NONE {
            let is_same = if self.nodes[at as usize].key_is_escaped {
                spelled.clear();
                text::unescape(self.key(at), &mut spelled);
                spelled == plain
            } else {
                self.key(at) == plain
            };
            if is_same {
                return true;
            }
            at = self.nodes[at as usize].parent;
        }
        false
    }
}

impl Node {
    fn new(key_start: u32, key_len: u32, key_is_escaped: bool, parent: u32) -> Self {
        Self {
            token: Token { bytes: [0; TOKEN_BYTES], len: 0 },
            key_start,
            key_len,
            key_is_escaped,
            is_repeated: false,
            action: None,
            parent,
            depth: 0,
            guesses: [NONE; GUESSES],
            first_child: NONE,
            sibling: NONE,
        }
    }
}

//! A writer's schema, compiled: names are resolved, keys and symbols are written as JSON already.

use std::collections::HashMap;

use apache_avro::Schema as Parsed;
use serde_json::Value;

use crate::detection::write_text;

/// A number into [`Schema::nodes`].
pub(super) type NodeId = usize;

/// One type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Boolean,
    /// `int` and `long` are written alike.
    Integer,
    Float,
    Double,
    Bytes,
    Text,
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    /// Key and colon, and the type.
    Record(Vec<(Box<[u8]>, NodeId)>),
    Enum(Vec<Box<[u8]>>),
    Fixed(usize),
}

/// A schema; the last node is what a record is.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

impl Schema {
    /// Reads a schema and those that it refers to.
    pub(super) fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let text = without_logical_types(text)?;
        let references = references
            .iter()
            .map(|one| without_logical_types(one))
            .collect::<Result<Vec<_>, _>>()?;
        let (schema, others) =
            Parsed::parse_str_with_list(&text, &references).map_err(|error| error.to_string())?;
        let mut compiler = Compiler { nodes: Vec::new(), names: HashMap::new() };
        for other in &others {
            compiler.reserve(other);
        }
        for other in &others {
            compiler.node(other)?;
        }
        let root = compiler.node(&schema)?;
        Ok(Self { nodes: compiler.nodes, root })
    }
}

/// A logical type is read as what it is stored in, as Java's generic reader does.
fn without_logical_types(text: &str) -> Result<String, String> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.shift_remove("logicalType");
                members.values_mut().for_each(strip);
            }
            Value::Array(elements) => elements.iter_mut().for_each(strip),
            _ => {}
        }
    }
    // A schema may be a bare name, as the registry writes it: `"string"` or `string`.
    let mut value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_)
            if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte)) =>
        {
            Value::String(text.to_owned())
        }
        Err(error) => return Err(error.to_string()),
    };
    strip(&mut value);
    Ok(value.to_string())
}

struct Compiler {
    nodes: Vec<Node>,
    names: HashMap<String, NodeId>,
}

impl Compiler {
    /// A place for a named type, which others may refer to before it is read.
    fn reserve(&mut self, schema: &Parsed) {
        if let Some(name) = schema.name() {
            let name = name.fullname(None);
            let id = self.nodes.len();
            if self.names.insert(name, id).is_none() {
                self.nodes.push(Node::Null);
            }
        }
    }

    fn node(&mut self, schema: &Parsed) -> Result<NodeId, String> {
        if let Parsed::Ref { name } = schema {
            let name = name.fullname(None);
            return self.names.get(&name).copied().ok_or(format!("it names no type `{name}`"));
        }
        let id = match schema.name().map(|name| name.fullname(None)) {
            Some(name) if self.names.contains_key(&name) => self.names[&name],
            named => {
                let id = self.nodes.len();
                self.nodes.push(Node::Null);
                if let Some(name) = named {
                    self.names.insert(name, id);
                }
                id
            }
        };
        self.nodes[id] = match schema {
            Parsed::Null => Node::Null,
            Parsed::Boolean => Node::Boolean,
            Parsed::Int | Parsed::Long => Node::Integer,
            Parsed::Float => Node::Float,
            Parsed::Double => Node::Double,
            Parsed::Bytes => Node::Bytes,
            Parsed::String => Node::Text,
            Parsed::Array(array) => Node::Array(self.node(&array.items)?),
            Parsed::Map(map) => Node::Map(self.node(&map.types)?),
            Parsed::Union(union) => {
                let kinds = union.variants().iter().map(|kind| self.node(kind));
                Node::Union(kinds.collect::<Result<_, _>>()?)
            }
            Parsed::Record(record) => {
                let mut fields = Vec::new();
                for field in &record.fields {
                    let mut key = Vec::new();
                    write_text(&mut key, &field.name);
                    key.push(b':');
                    fields.push((key.into(), self.node(&field.schema)?));
                }
                Node::Record(fields)
            }
            Parsed::Enum(all) => {
                let spelled = |symbol: &String| {
                    let mut text = Vec::new();
                    write_text(&mut text, symbol);
                    text.into()
                };
                Node::Enum(all.symbols.iter().map(spelled).collect())
            }
            Parsed::Fixed(fixed) => Node::Fixed(fixed.size),
            other => return Err(format!("it has a type that is not read: {other:?}")),
        };
        Ok(id)
    }
}

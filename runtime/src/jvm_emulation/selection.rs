//! Selections: their fields one after the other, and what a field's values are compared with.

use serde_json::Value;
use sigmill_parser::yaml::{Node, Resolved};
use sigmill_parser::{FieldMapping, JsonPath};

use super::{NoAnswer, Quirk, Seen, json_path, pattern};
use crate::jvm_emulation::double::java_text;

const MODIFIERS: [&str; 8] =
    ["all", "beginswith", "contains", "endswith", "greater_than", "less_than", "re", "startswith"];

/// What a field comes to.
enum Field {
    Holds(bool),
    Missing,
    MissingPath,
    /// It has no values in the rule.
    LeftOut,
}

impl Seen<'_> {
    pub(super) fn selection(&self, node: &Node) -> Result<bool, NoAnswer> {
        let is_of_maps = |items: &[Node]| items.iter().all(|item| item.as_mapping().is_some());
        if let Some(fields) = node.as_mapping().filter(|fields| !fields.is_empty()) {
            return self.fields(fields.iter());
        }
        match node.as_sequence() {
            Some(maps) if !maps.is_empty() && is_of_maps(maps) => {
                let mut maps = maps.iter().filter_map(Node::as_mapping);
                if !self.mended.has(Quirk::List) {
                    return self.fields(maps.flatten());
                }
                maps.try_fold(false, |holds, fields| Ok(self.fields(fields.iter())? || holds))
            }
            // Keywords, null, nothing.
            _ => self.stop(&node.to_json()),
        }
    }

    /// Where the JVM processor stops; mended, Sigmill's answer.
    fn stop(&self, part: &str) -> Result<bool, NoAnswer> {
        match self.mended.has(Quirk::Stops) {
            true => Ok(self.rule.engine_holds(part.to_owned(), self.event)),
            false => Err(NoAnswer),
        }
    }

    fn fields<'n>(&self, fields: impl Iterator<Item = &'n (Node, Node)>) -> Result<bool, NoAnswer> {
        let (mut last, mut all, mut is_some) = (false, true, false);
        // A map under a field is read as if it stood a level higher.
        let flat = fields.flat_map(|field| match field.1.as_mapping() {
            Some(inner) => inner.iter().collect::<Vec<_>>(),
            None => vec![field],
        });
        for (name, value) in flat {
            match self.field(name.key().unwrap_or_default(), value)? {
                Field::Holds(holds) => {
                    (last, all, is_some) = (holds, all && holds, true);
                }
                Field::LeftOut => {}
                Field::MissingPath if !self.mended.has(Quirk::MissingPath) => break,
                Field::Missing | Field::MissingPath => return Ok(false),
            }
        }
        Ok(if self.mended.has(Quirk::LastField) { all && is_some } else { last })
    }

    fn field(&self, key: &str, value: &Node) -> Result<Field, NoAnswer> {
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default();
        let written: Vec<&str> = parts.collect();
        let part = || {
            let mut text = String::from("{");
            sigmill_parser::yaml::write_text(key, &mut text);
            text + ":" + &value.to_json() + "}"
        };
        let is_known = |modifier: &&&str| MODIFIERS.contains(modifier);
        if written.iter().any(|modifier| !MODIFIERS.contains(modifier))
            && self.mended.has(Quirk::Modifier)
        {
            return Ok(Field::Holds(self.rule.engine_holds(part(), self.event)));
        }
        let mut modifiers: Vec<&str> = written.iter().filter(is_known).copied().collect();
        if !written.is_empty()
            && MODIFIERS.contains(&name)
            && !self.mended.has(Quirk::FieldModifier)
        {
            modifiers.push(name);
        }
        let values = value.as_sequence().unwrap_or(std::slice::from_ref(value));
        if values.is_empty() {
            return Ok(Field::LeftOut);
        }
        if values.iter().any(|value| value.is_null() || value.as_scalar().is_none()) {
            return self.stop(&part()).map(Field::Holds);
        }
        let targets = self.rule.mapping.targets(name);
        let count = if self.mended.has(Quirk::MappingList) { targets.len() } else { 1 };
        let mut found = Field::Missing;
        for target in &targets[..count.min(targets.len())] {
            match self.look_up(target) {
                Ok(elements) => {
                    let holds = match self.elements(&elements, values, &modifiers) {
                        Err(NoAnswer) => self.stop(&part())?,
                        Ok(holds) => holds,
                    };
                    let before = matches!(found, Field::Holds(true));
                    found = Field::Holds(before || holds);
                }
                Err(missing) if matches!(found, Field::Missing) => found = missing,
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// What a name leads to: an indefinite path to an array.
    fn look_up(&self, name: &str) -> Result<Value, Field> {
        if let Some(key) = FieldMapping::key(name) {
            return self.event.get(&key).cloned().ok_or(Field::Missing);
        }
        if name.starts_with('$') {
            let Some(Ok(path)) = JsonPath::parse(name) else { return Err(Field::MissingPath) };
            let found = json_path::ends(self.event, &path.steps);
            if json_path::is_indefinite(&path.steps) {
                return Ok(Value::Array(found.into_iter().cloned().collect()));
            }
            return match found.first() {
                None | Some(Value::Null) => Err(Field::MissingPath),
                Some(found) => Ok((*found).clone()),
            };
        }
        let nested = || self.mended.has(Quirk::Nested).then(|| nested(self.event, name)).flatten();
        self.event.get(name).or_else(nested).cloned().ok_or(Field::Missing)
    }

    fn elements(
        &self,
        value: &Value,
        wanted: &[Node],
        modifiers: &[&str],
    ) -> Result<bool, NoAnswer> {
        let Value::Array(elements) = value else { return self.element(value, wanted, modifiers) };
        let is_any = self.mended.has(Quirk::Arrays);
        let mut holds = !is_any && !elements.is_empty();
        for element in elements {
            let one = self.elements(element, wanted, modifiers)?;
            holds = if is_any { holds || one } else { holds && one };
        }
        Ok(holds)
    }

    fn element(
        &self,
        value: &Value,
        wanted: &[Node],
        modifiers: &[&str],
    ) -> Result<bool, NoAnswer> {
        let text = match value {
            Value::Null if self.mended.has(Quirk::Null) => return Ok(false),
            Value::Null => "null".to_owned(),
            Value::Object(_) if self.mended.has(Quirk::Object) => {
                return Ok(match modifiers.contains(&"all") {
                    true => wanted.iter().all(|wanted| asks_for_something(wanted, modifiers)),
                    false => wanted.iter().any(|wanted| asks_for_something(wanted, modifiers)),
                });
            }
            Value::Object(_) => String::new(),
            Value::Bool(value) => value.to_string(),
            Value::String(text) => text.clone(),
            Value::Number(number) => match number.as_f64() {
                Some(double) if number.is_f64() && !self.mended.has(Quirk::Numbers) => {
                    java_text(double)
                }
                _ => number.to_string(),
            },
            Value::Array(_) => return Ok(false),
        };
        let needs_all = modifiers.contains(&"all");
        let mut holds = needs_all;
        for wanted in wanted {
            let one = self.compare(&text, wanted, modifiers)?;
            holds = if needs_all { holds && one } else { holds || one };
        }
        Ok(holds)
    }

    fn compare(&self, text: &str, wanted: &Node, modifiers: &[&str]) -> Result<bool, NoAnswer> {
        let Some(scalar) = wanted.as_scalar() else { return Err(NoAnswer) };
        let wanted = match scalar.resolve() {
            Resolved::Bool(value) => value.to_string(),
            Resolved::Number(number) if number.contains(['.', 'e', 'E']) => {
                if self.mended.has(Quirk::Numbers) && number.parse::<f64>() == text.parse::<f64>() {
                    return Ok(true);
                }
                number.parse().map_or(number, java_text)
            }
            Resolved::Number(number) => number,
            _ => scalar.text.clone(),
        };
        if modifiers.contains(&"re") {
            return self.find(&wanted, text);
        }
        if let Some(modifier) =
            modifiers.iter().find(|modifier| ["greater_than", "less_than"].contains(modifier))
        {
            let numbers = text.parse::<i64>().ok().zip(wanted.parse::<i64>().ok());
            let (number, bound) = numbers.ok_or(NoAnswer)?;
            return Ok(if *modifier == "less_than" { number < bound } else { number > bound });
        }
        for expression in pattern::expressions(&wanted, modifiers, self.mended) {
            if self.find(&expression, text)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn find(&self, expression: &str, text: &str) -> Result<bool, NoAnswer> {
        let mut patterns = self.rule.patterns.borrow_mut();
        let compiled = patterns
            .entry(expression.to_owned())
            .or_insert_with(|| fancy_regex::Regex::new(expression).ok());
        match compiled {
            Some(regex) => Ok(regex.is_match(text).unwrap_or(false)),
            None => Err(NoAnswer),
        }
    }
}

/// Whether a value is `*` alone, which matches objects too.
fn asks_for_something(wanted: &Node, modifiers: &[&str]) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| modifiers.contains(name));
    let is_open = has(&["contains", "startswith", "beginswith", "endswith"]);
    let text = wanted.as_scalar().map(|scalar| scalar.text.as_str());
    !has(&["re", "greater_than", "less_than"])
        && text.is_some_and(|text| text.bytes().all(|b| b == b'*') && (is_open || !text.is_empty()))
}

/// The value at the end of a dotted name, each dot a step or a part of a key.
fn nested<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    if let Some(found) = value.get(name) {
        return Some(found);
    }
    name.match_indices('.').find_map(|(dot, _)| nested(value.get(&name[..dot])?, &name[dot + 1..]))
}

//! From a rule to trees over atoms, one for each of its conditions.
//!
//! What a rule's tests mean is `sigmill-reference`'s to say; here each is put into the engine's
//! words: texts folded, patterns sorted into whole, prefix, suffix, infix and wildcard, negations of
//! whole fields turned into `not`.

pub(crate) mod explain;

use std::collections::HashMap;

use sigmill_engine::{
    Decimal, FieldId, KEYWORDS, Order, Pattern as RegexPattern, PlanBuilder, Relation,
    SEARCH_BYTES_MAX, SEARCH_STEPS_MAX, Test, Text, TimePart, WildcardPart, folded,
};
use sigmill_parser::{
    Block, Comparison, DetectionItem, Expr, FieldMapping, Part, Pattern, Predicate, Quantifier,
    Relation as RuleRelation, Rule, Test as RuleTest, TimePart as RuleTimePart,
};

use crate::CompileError;
use crate::regex_literals;
use crate::tree::Tree;

// The reference, which reads the parser's bounds, has to give up where the engine does.
const _: () = assert!(SEARCH_BYTES_MAX == sigmill_parser::SEARCH_BYTES_MAX);
const _: () = assert!(SEARCH_STEPS_MAX == sigmill_parser::SEARCH_STEPS_MAX);

/// Deepest nesting of a condition.
const DEPTH_MAX: usize = 512;

/// The trees of a rule's conditions, and behind them those of what `near` names, in order.
pub(crate) fn rule(
    rule: &Rule,
    mapping: &FieldMapping,
    builder: &mut PlanBuilder,
) -> Result<Vec<Tree>, CompileError> {
    let mut lowering = Lowering { rule, mapping, builder, selections: HashMap::new() };
    let conditions = &rule.detection.conditions;
    let near = conditions.iter().flat_map(|condition| condition.expressions().skip(1));
    conditions
        .iter()
        .map(|condition| &condition.expr)
        .chain(near)
        .map(|expr| lowering.expr(expr, 0))
        .collect()
}

struct Lowering<'a> {
    rule: &'a Rule,
    mapping: &'a FieldMapping,
    builder: &'a mut PlanBuilder,
    /// The selections lowered so far, by index.
    selections: HashMap<usize, Tree>,
}

impl Lowering<'_> {
    fn expr(&mut self, expr: &Expr, depth: usize) -> Result<Tree, CompileError> {
        if depth > DEPTH_MAX {
            return Err(CompileError::Depth { max: DEPTH_MAX });
        }
        Ok(match expr {
            Expr::And(parts) => Tree::all(self.exprs(parts, depth)?),
            Expr::Or(parts) => Tree::any(self.exprs(parts, depth)?),
            Expr::Not(part) => self.expr(part, depth + 1)?.not(),
            Expr::Selection(index, _) => self.selection(*index)?,
            Expr::Of(quantifier, indices, _) => {
                let trees: Result<Vec<_>, _> =
                    indices.iter().map(|index| self.selection(*index)).collect();
                let trees = trees?;
                match quantifier {
                    Quantifier::Any => Tree::any(trees),
                    Quantifier::All => Tree::all(trees),
                    Quantifier::AtLeast(0) => Tree::Const(true),
                    Quantifier::AtLeast(n) if *n as usize > trees.len() => Tree::Const(false),
                    Quantifier::AtLeast(n) => Tree::AtLeast(*n, trees),
                }
            }
        })
    }

    fn exprs(&mut self, parts: &[Expr], depth: usize) -> Result<Vec<Tree>, CompileError> {
        parts.iter().map(|part| self.expr(part, depth + 1)).collect()
    }

    fn selection(&mut self, index: usize) -> Result<Tree, CompileError> {
        if let Some(tree) = self.selections.get(&index) {
            return Ok(tree.clone());
        }
        let rule = self.rule;
        let tree = self.block(&rule.detection.selections[index].body, 0)?;
        self.selections.insert(index, tree.clone());
        Ok(tree)
    }

    fn block(&mut self, block: &Block, depth: usize) -> Result<Tree, CompileError> {
        if depth > DEPTH_MAX {
            return Err(CompileError::Depth { max: DEPTH_MAX });
        }
        let mut parts = |parts: &[Block]| -> Result<Vec<Tree>, CompileError> {
            parts.iter().map(|part| self.block(part, depth + 1)).collect()
        };
        match block {
            Block::AllOf(inner) => Ok(Tree::all(parts(inner)?)),
            Block::AnyOf(inner) => Ok(Tree::any(parts(inner)?)),
            Block::Item(item) => self.item(item),
        }
    }

    /// A field that the mapping sends to several names holds if one of them does.
    fn item(&mut self, item: &DetectionItem) -> Result<Tree, CompileError> {
        let Some(field) = &item.field else { return self.predicate(&item.predicate, KEYWORDS) };
        let mut trees = Vec::new();
        for target in self.mapping.targets(&field.node) {
            let target = self.field(target)?;
            trees.push(self.predicate(&item.predicate, target)?);
        }
        Ok(Tree::any(trees))
    }

    fn field(&mut self, name: &str) -> Result<FieldId, CompileError> {
        crate::field(self.builder, name)
    }

    fn predicate(&mut self, predicate: &Predicate, field: FieldId) -> Result<Tree, CompileError> {
        let mut values = Vec::new();
        for tests in &predicate.values {
            let tests: Result<Vec<_>, _> =
                tests.iter().map(|test| self.test(test, field)).collect();
            values.push(Tree::any(tests?));
        }
        let tree = if predicate.all { Tree::all(values) } else { Tree::any(values) };
        Ok(if predicate.negated { tree.not() } else { tree })
    }

    fn test(&mut self, test: &RuleTest, field: FieldId) -> Result<Tree, CompileError> {
        let test = match test {
            // Keywords look at nothing but texts and numbers.
            RuleTest::Text { pattern, .. }
                if pattern.parts == [Part::AnyRun] && field != KEYWORDS =>
            {
                Test::Something
            }
            RuleTest::Text { pattern, cased } => text(pattern, *cased)?,
            RuleTest::Number(number) => match Decimal::parse(number.text.as_bytes()) {
                Some(value) => Test::Number { value, text: folded(&number.text).into() },
                None => Test::Equals(Text::new(&number.text, false)),
            },
            RuleTest::Bool(value) => {
                Test::Equals(Text::new(if *value { "true" } else { "false" }, false))
            }
            RuleTest::Null => Test::Null,
            RuleTest::Exists(true) => Test::Exists,
            RuleTest::Exists(false) => return Ok(self.atom(field, Test::Exists)?.not()),
            RuleTest::Compare(comparison, number) => {
                let Some(bound) = Decimal::parse(number.text.as_bytes()) else {
                    return Ok(Tree::Const(false));
                };
                Test::Compare { order: order(*comparison), bound }
            }
            RuleTest::TimePart { part, comparison, number } => Test::TimePart {
                part: time_part(*part),
                order: comparison.map(order),
                bound: *number,
            },
            RuleTest::Regex(regex) => Test::Regex(RegexPattern {
                pattern: regex.pattern.as_str().into(),
                ignore_case: regex.ignore_case,
                multi_line: regex.multi_line,
                dot_all: regex.dot_all,
                required: regex_literals::required(regex),
            }),
            RuleTest::Backtracking(expression) => Test::Backtracking(expression.as_str().into()),
            RuleTest::Cidr(network) => {
                Test::Cidr { address: network.network(), prefix: network.prefix_len() }
            }
            RuleTest::FieldRef { field: other, relation, cased } => {
                let mut trees = Vec::new();
                for target in self.mapping.targets(other) {
                    let other = self.field(target)?;
                    let (relation, cased) = (relation_of(*relation), *cased);
                    trees.push(self.atom(field, Test::FieldRef { other, relation, cased })?);
                }
                return Ok(Tree::any(trees));
            }
        };
        self.atom(field, test)
    }

    fn atom(&mut self, field: FieldId, test: Test) -> Result<Tree, CompileError> {
        let pattern = match &test {
            Test::Regex(regex) => regex.pattern.to_string(),
            Test::Backtracking(expression) => expression.to_string(),
            _ => String::new(),
        };
        match self.builder.atom(field, test) {
            Ok(atom) => Ok(Tree::Atom(atom)),
            Err(reason) => Err(CompileError::Regex { pattern, reason }),
        }
    }
}

fn order(comparison: Comparison) -> Order {
    match comparison {
        Comparison::Less => Order::Less,
        Comparison::LessOrEqual => Order::LessOrEqual,
        Comparison::Greater => Order::Greater,
        Comparison::GreaterOrEqual => Order::GreaterOrEqual,
    }
}

fn time_part(part: RuleTimePart) -> TimePart {
    match part {
        RuleTimePart::Minute => TimePart::Minute,
        RuleTimePart::Hour => TimePart::Hour,
        RuleTimePart::Day => TimePart::Day,
        RuleTimePart::Week => TimePart::Week,
        RuleTimePart::Month => TimePart::Month,
        RuleTimePart::Year => TimePart::Year,
    }
}

fn relation_of(relation: RuleRelation) -> Relation {
    match relation {
        RuleRelation::Equal => Relation::Equal,
        RuleRelation::StartsWith => Relation::StartsWith,
        RuleRelation::EndsWith => Relation::EndsWith,
        RuleRelation::Contains => Relation::Contains,
    }
}

/// The cheapest test that a pattern is.
fn text(pattern: &Pattern, cased: bool) -> Result<Test, CompileError> {
    use Part::{AnyRun, Literal};
    Ok(match pattern.parts.as_slice() {
        [] => Test::Equals(Text::new("", cased)),
        [AnyRun] => Test::Contains(Text::new("", cased)),
        [Literal(text)] => Test::Equals(Text::new(text, cased)),
        [Literal(text), AnyRun] => Test::StartsWith(Text::new(text, cased)),
        [AnyRun, Literal(text)] => Test::EndsWith(Text::new(text, cased)),
        [AnyRun, Literal(text), AnyRun] => Test::Contains(Text::new(text, cased)),
        parts => {
            let parts: Result<Vec<_>, _> = parts
                .iter()
                .map(|part| match part {
                    Literal(text) => Ok(WildcardPart::Literal(Text::new(text, cased).bytes)),
                    Part::AnyChar => Ok(WildcardPart::AnyChar),
                    AnyRun => Ok(WildcardPart::AnyRun),
                    Part::Placeholder(name) => {
                        Err(CompileError::Placeholder { name: name.clone() })
                    }
                })
                .collect();
            Test::Wildcard { parts: parts?, cased }
        }
    })
}

//! Runs a plan over the bytes of records.
//!
//! In: a [`Plan`] (plain data, made by `sigmill-codegen`) and records as bytes. Out: the rules that
//! match. No YAML, no I/O, no threads, no clock. A record's way through the modules: [`scan`],
//! [`index`], [`memo`] and [`field_matcher`], [`decide`]; [`matcher`] drives them. What correlations
//! make of the matches is [`window`]'s.

mod arch;
mod atom;
mod atom_states;
mod backtracking;
#[doc(hidden)]
pub mod bench_api;
mod caseless;
mod decide;
mod decimal;
mod field_index;
mod field_matcher;
mod field_ref;
mod grams;
mod hash;
mod hidden;
mod index;
mod literal_search;
mod matcher;
mod memo;
mod overlay;
mod path;
mod plan;
mod plan_view;
mod rarity;
mod reader;
mod rejection;
mod reuse;
mod route;
mod scan;
mod shape;
mod state;
mod tails;
mod tape;
mod teddy;
mod text;
mod time_part;
mod value;
mod wildcard;
pub mod window;

pub use atom::{AtomId, Order, Pattern, REGEX_BYTES_MAX, Relation, Test, Text};
pub use backtracking::{SEARCH_BYTES_MAX, SEARCH_STEPS_MAX};
pub use decide::{GroupId, Op};
pub use decimal::Decimal;
pub use field_index::{FIELD_STEPS_MAX, FieldId, FieldIndex, KEYWORDS};
pub use matcher::{Counters, FieldText, Matcher, MatcherConfig, ValueKind};
pub use overlay::Overlay;
pub use path::{PathFilter, PathLiteral, PathOrders, PathStep};
pub use plan::{Cover, Plan, PlanBuilder, PlanRule, PlanSize, RuleId};
pub use plan_view::AtomView;
pub use rejection::Rejection;
pub use reuse::{PlanPart, Searches, Tests};
pub use text::{fold, fold_char, folded};
pub use time_part::TimePart;
pub use wildcard::WildcardPart;

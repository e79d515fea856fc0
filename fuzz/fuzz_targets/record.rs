//! Any bytes as a record: both ways of reading refuse the same and find the same values, and what is
//! accepted is what the grammar of JSON allows.

#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use sigmill_engine::{
    Cover, KEYWORDS, Matcher, MatcherConfig, Op, Plan, PlanBuilder, PlanRule, Rejection, Test, Text,
};

const FIELDS: &[&str] = &["a", "b", "a.b", "EventID", "Image", "winlog.event_data.Image"];

fn plan() -> Arc<Plan> {
    let mut builder = PlanBuilder::default();
    let fields = FIELDS.iter().map(|name| builder.field(name).expect("it has few steps"));
    let fields: Vec<_> = fields.chain([KEYWORDS]).collect();
    for (source, field) in fields.into_iter().enumerate() {
        for test in
            [Test::Contains(Text::new("cmd", false)), Test::EndsWith(Text::new(".exe", false))]
        {
            let atom = builder.atom(field, test).expect("it is no expression");
            let rule = PlanRule { source: source as u32, condition: 0 };
            builder.rule(rule, &[Op::Test(atom)], Cover::AnyOf(vec![atom]));
        }
    }
    Arc::new(builder.build())
}

/// By the reader and by the tape. They live from record to record, as in a worker, so that what one
/// record teaches is used for the next.
fn matchers() -> [Matcher; 2] {
    let plan = plan();
    [true, false].map(|reader| {
        let config = MatcherConfig { reader, ..MatcherConfig::default() };
        Matcher::new(Arc::clone(&plan), config)
    })
}

thread_local! {
    static MATCHERS: RefCell<[Matcher; 2]> = RefCell::new(matchers());
}

type Outcome = Result<(Vec<u32>, Vec<Vec<u8>>), Rejection>;

fn read(matcher: &mut Matcher, record: &[u8]) -> Outcome {
    let rules = matcher.matches(record)?.iter().map(|rule| rule.0).collect();
    let plan = Arc::clone(matcher.plan());
    let mut values = Vec::new();
    for name in FIELDS {
        let field = plan.field(name).expect("the plan has all of them");
        matcher.read_field(record, field, |value| values.push(value.text.to_vec()));
    }
    Ok((rules, values))
}

fn is_object_by_grammar(record: &[u8]) -> bool {
    std::str::from_utf8(record).is_ok_and(|text| {
        text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok()
    })
}

fuzz_target!(|record: &[u8]| {
    let outcomes: Vec<Outcome> = MATCHERS.with(|matchers| {
        matchers.borrow_mut().iter_mut().map(|matcher| read(matcher, record)).collect()
    });
    assert_eq!(outcomes[0], outcomes[1]);
    match &outcomes[0] {
        Err(Rejection::TooDeep) => {}
        outcome => assert_eq!(outcome.is_ok(), is_object_by_grammar(record)),
    }
});

//! The processor against brokers: each scenario runs on the embedded one and on a real Apache Kafka.
//!
//! Nothing sleeps to wait for something: every wait polls with a deadline. Exact results are asked
//! for wherever delivery is exact; where a crash may repeat detections, only loss is an error.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking too.
#![allow(clippy::print_stderr)] // A skip has to be loud.

mod aggregations;
mod avro;
mod bed;
mod budgets;
mod checkpoints;
mod control;
mod correlations;
mod crash;
mod enrich;
mod fault_suite;
mod faults;
mod instances;
mod kafka;
mod live_rules;
mod records;
mod registry;
mod restart;
mod rules_topic;
mod sequences;
mod shadow;
mod start;
mod streams;
mod takeover;
mod windows;

/// A test per broker for a scenario that takes a `Bed`.
macro_rules! on_both_brokers {
    ($scenario:ident) => {
        mod $scenario {
            #[test]
            fn embedded_broker() {
                super::$scenario(&crate::bed::Bed::embedded(1));
            }

            #[test]
            fn real_kafka() {
                if let Some(bed) = crate::bed::Bed::real() {
                    super::$scenario(&bed);
                }
            }
        }
    };
}
pub(crate) use on_both_brokers;

/// A rule that matches events whose field has the value.
fn rule(title: &str, field: &str, value: &str) -> String {
    format!(
        "title: {title}\nid: id-{title}\nlogsource: {{product: test}}\nlevel: high\n\
         detection:\n  selection: {{{field}: '{value}'}}\n  condition: selection\n"
    )
}

/// What a detection of Confluent Sigma's 1.3 form says: title and the event's number.
fn title_and_number(record: &bed::Record) -> (String, i64) {
    let detection = record.json();
    let title = detection["title"].as_str().unwrap().to_owned();
    (title, detection["sourceData"]["n"].as_i64().unwrap())
}

/// The same for many, sorted: a detection that comes twice is there twice.
fn titles_and_numbers(records: &[bed::Record]) -> Vec<(String, i64)> {
    let mut all: Vec<_> = records.iter().map(title_and_number).collect();
    all.sort();
    all
}

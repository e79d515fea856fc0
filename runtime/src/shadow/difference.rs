//! One difference between the two sides.

use serde_json::{Map, Value, json};

/// Who told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The JVM processor alone.
    Jvm,
    /// Sigmill alone.
    Sigmill,
    /// Both, but not the same.
    Both,
}

impl Side {
    /// The word in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jvm => "jvm",
            Self::Sigmill => "sigmill",
            Self::Both => "both",
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl Place {
    pub(super) fn to_json(&self) -> Value {
        json!({ "topic": self.topic, "partition": self.partition, "offset": self.offset })
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The rule's title.
    pub title: String,
    /// The rule's id.
    pub id: Option<String>,
    /// Who told.
    pub side: Side,
    /// Why, by name: several are needed together.
    pub causes: Vec<&'static str>,
    /// What differs, where both told.
    pub detail: Option<String>,
    /// The record of the data topic, as far as it is known.
    pub source: Option<Place>,
    /// The JVM processor's detection.
    pub jvm: Option<Place>,
    /// The event's timestamp.
    pub timestamp: Option<i64>,
    /// The event.
    pub event: Value,
}

impl Difference {
    /// Its causes as one word.
    pub fn cause(&self) -> String {
        self.causes.join("+")
    }

    /// The record for the topic of differences.
    pub fn to_json(&self) -> String {
        let mut record = Map::new();
        record.insert("title".into(), json!(self.title));
        record.insert("id".into(), json!(self.id));
        record.insert("toldBy".into(), json!(self.side.as_str()));
        record.insert("causes".into(), json!(self.causes));
        let meanings: Vec<&str> =
            self.causes.iter().map(|cause| super::report::meaning(cause)).collect();
        record.insert("meaning".into(), json!(meanings.join("; ")));
        if let Some(detail) = &self.detail {
            record.insert("detail".into(), json!(detail));
        }
        record.insert("source".into(), json!(self.source.as_ref().map(Place::to_json)));
        record.insert("jvmDetection".into(), json!(self.jvm.as_ref().map(Place::to_json)));
        record.insert("timestamp".into(), json!(self.timestamp));
        record.insert("event".into(), self.event.clone());
        Value::Object(record).to_string()
    }
}

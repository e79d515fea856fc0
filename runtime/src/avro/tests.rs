//! Records that the Avro crate writes, read here; and records that nobody would write.

use apache_avro::types::{Record, Value};
use apache_avro::{Schema as Parsed, to_avro_datum};
use serde_json::json;

use super::decode::to_json;
use super::schema::Schema;
use super::split;

const SCHEMA: &str = r#"{"type":"record","name":"R","namespace":"n","fields":[
    {"name":"null","type":"null"},{"name":"yes","type":"boolean"},
    {"name":"int","type":{"type":"int","logicalType":"date"}},{"name":"long","type":"long"},
    {"name":"float","type":"float"},{"name":"double","type":"double"},
    {"name":"bytes","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"text","type":"string"},
    {"name":"fixed","type":{"type":"fixed","name":"F","size":3}},
    {"name":"kind","type":{"type":"enum","name":"E","symbols":["a","b"]}},
    {"name":"list","type":{"type":"array","items":["null","string","F"]}},
    {"name":"map","type":{"type":"map","values":"long"}},
    {"name":"inner","type":["null","R"]}]}"#;

fn read(schema: &Schema, bytes: &[u8]) -> Result<serde_json::Value, &'static str> {
    let mut out = Vec::new();
    to_json(schema, bytes, &mut out, 1 << 20)?;
    Ok(serde_json::from_slice(&out).expect("what is written is JSON"))
}

fn record<'a>(schema: &'a Parsed, inner: Value) -> Record<'a> {
    let mut record = Record::new(schema).unwrap();
    record.put("null", Value::Null);
    record.put("yes", true);
    record.put("int", Value::Date(-3));
    record.put("long", i64::MIN);
    record.put("float", 1.5f32);
    record.put("double", -1e300);
    record.put("bytes", Value::Decimal(vec![0x22, 0xff].into()));
    record.put("text", "a \"ä\"\n");
    record.put("fixed", Value::Fixed(3, vec![1, 0xff, 0]));
    record.put("kind", Value::Enum(1, "b".into()));
    let list = vec![
        Value::Union(0, Box::new(Value::Null)),
        Value::Union(1, Box::new(Value::String("x".into()))),
        Value::Union(2, Box::new(Value::Fixed(3, vec![0, 0, 9]))),
    ];
    record.put("list", Value::Array(list));
    let map = [("one".to_owned(), Value::Long(1))];
    record.put("map", Value::Map(map.into_iter().collect()));
    record.put("inner", inner);
    record
}

#[test]
fn a_record_reads_as_it_was_written() {
    let parsed = Parsed::parse_str(SCHEMA).unwrap();
    let schema = Schema::parse(SCHEMA, &[]).unwrap();
    let innermost = record(&parsed, Value::Union(0, Box::new(Value::Null)));
    let outer = record(&parsed, Value::Union(1, Box::new(Value::from(innermost))));
    let bytes = to_avro_datum(&parsed, outer).unwrap();
    let mut expected = json!({
        "null": null, "yes": true, "int": -3, "long": i64::MIN, "float": 1.5, "double": -1e300,
        "bytes": {"bytes": "\"\u{ff}"}, "text": "a \"ä\"\n", "fixed": [1, -1, 0], "kind": "b",
        "list": [null, "x", [0, 0, 9]], "map": {"one": 1}, "inner": null,
    });
    let inner = expected.clone();
    expected["inner"] = inner;
    assert_eq!(read(&schema, &bytes).unwrap(), expected);
    // What is cut off is refused, wherever that is.
    for end in 0..bytes.len() {
        assert!(read(&schema, &bytes[..end]).is_err(), "{end} of {}", bytes.len());
    }
    // Whatever is flipped, nothing but an answer comes of it.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let mut out = Vec::new();
            let _ = to_json(&schema, &bytes, &mut out, 10_000);
            assert!(out.len() < 20_000);
        }
    }
}

#[test]
fn numbers_have_every_size() {
    let schema = Schema::parse("\"long\"", &[]).unwrap();
    let parsed = Parsed::Long;
    for number in [0, -1, 1, 63, 64, -65, i64::MAX, i64::MIN, 1 << 40] {
        let bytes = to_avro_datum(&parsed, Value::Long(number)).unwrap();
        assert_eq!(read(&schema, &bytes), Ok(json!(number)));
    }
    assert_eq!(read(&schema, &[0xff; 10]), Err("a number is too long"));
    let schema = Schema::parse("double", &[]).unwrap();
    for (number, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity")] {
        let bytes = to_avro_datum(&Parsed::Double, Value::Double(number)).unwrap();
        assert_eq!(read(&schema, &bytes), Ok(json!(text)));
    }
}

#[test]
fn hostile_records_reach_a_limit() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let schema = Schema::parse(list, &[]).unwrap();
    assert_eq!(read(&schema, &[2; 1_000_000]), Err("it is nested too deep"));
    let nulls = Schema::parse(r#"{"type":"array","items":"null"}"#, &[]).unwrap();
    // A block of 2^62 nulls takes ten bytes.
    let huge = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
    assert_eq!(read(&nulls, &huge), Err("it is too long"));
    let text = Schema::parse("string", &[]).unwrap();
    assert_eq!(read(&text, &[1]), Err("a length is negative"));
    assert_eq!(read(&text, &[4, 0xff, 0xff]), Err("a text is not UTF-8"));
    let empty = Schema::parse(r#"{"type":"record","name":"X","fields":[]}"#, &[]).unwrap();
    assert_eq!(read(&empty, &[]), Ok(json!({})));
}

#[test]
fn schemas_refer_to_others() {
    let inner =
        r#"{"type":"record","name":"I","namespace":"n","fields":[{"name":"x","type":"int"}]}"#;
    let outer = r#"{"type":"record","name":"O","namespace":"n","fields":[
        {"name":"a","type":"n.I"},{"name":"b","type":{"type":"array","items":"n.I"}}]}"#;
    let schema = Schema::parse(outer, &[inner.to_owned()]).unwrap();
    assert_eq!(
        read(&schema, &[2, 4, 4, 6, 0]),
        Ok(json!({"a": {"x": 1}, "b": [{"x": 2}, {"x": 3}]}))
    );
    assert!(Schema::parse(outer, &[]).is_err());
    assert!(Schema::parse("{", &[]).is_err());
}

#[test]
fn the_wire_format_is_a_zero_and_an_id() {
    assert_eq!(split(&[0, 0, 0, 1, 2, 7, 8]), Some((258, &[7, 8][..])));
    assert_eq!(split(&[0, 0, 0, 1, 2]), Some((258, &[][..])));
    assert_eq!(split(&[0, 0, 0, 1]), None);
    assert_eq!(split(b"{\"a\":1}"), None);
}

//! What keys, modifiers and values become: one line of a selection at a time.

#![allow(clippy::unwrap_used)] // A test may stop at once.

use sigmill_parser::{
    Block, Code, DetectionItem, Document, ParseOptions, Parsed, Part, Pattern, Predicate, Test,
};

fn parsed(line: &str, options: &ParseOptions) -> Parsed {
    let text = format!(
        "title: t\nlogsource: {{category: test}}\ndetection:\n  sel:\n    {line}\n  condition: sel\n"
    );
    sigmill_parser::parse_with(&text, options)
}

fn item(line: &str) -> DetectionItem {
    let parsed = parsed(line, &ParseOptions::default());
    let Some(Document::Rule(rule)) = parsed.documents.first() else {
        panic!("{line}: {:?}", parsed.diagnostics)
    };
    match &rule.detection.selections[0].body {
        Block::AllOf(blocks) => match &blocks[0] {
            Block::Item(item) => item.clone(),
            other => panic!("{other:?}"),
        },
        Block::Item(item) => item.clone(),
        other => panic!("{other:?}"),
    }
}

/// A predicate in short: alternatives of a value with `/`, values with `,` or `&`.
fn shown(predicate: &Predicate) -> String {
    let joint = if predicate.all { " & " } else { ", " };
    let values: Vec<String> = predicate
        .values
        .iter()
        .map(|tests| tests.iter().map(test).collect::<Vec<_>>().join(" / "))
        .collect();
    format!("{}{}", if predicate.negated { "not " } else { "" }, values.join(joint))
}

fn test(test: &Test) -> String {
    match test {
        Test::Text { pattern, cased } => {
            format!("{}{}", pattern_text(pattern), if *cased { " cased" } else { "" })
        }
        Test::Number(number) => format!("#{}", number.text),
        Test::Bool(value) => format!("bool {value}"),
        Test::Null => "null".to_owned(),
        Test::Exists(value) => format!("exists {value}"),
        Test::Compare(comparison, number) => format!("{comparison:?} {}", number.text),
        Test::Regex(regex) => {
            let flags = [(regex.ignore_case, 'i'), (regex.multi_line, 'm'), (regex.dot_all, 's')];
            let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, c)| *c).collect();
            format!("~{}~{flags}", regex.pattern)
        }
        Test::Cidr(network) => network.to_string(),
        Test::Backtracking(expression) => format!("backtracking {expression}"),
        Test::TimePart { part, comparison, number } => format!("{part:?} {comparison:?} {number}"),
        Test::FieldRef { field, relation, cased } => format!("{relation:?} {field} {cased}"),
    }
}

fn pattern_text(pattern: &Pattern) -> String {
    let part = |part: &Part| match part {
        Part::Literal(text) => format!("[{text}]"),
        Part::AnyChar => "?".to_owned(),
        Part::AnyRun => "*".to_owned(),
        Part::Placeholder(name) => format!("<{name}>"),
    };
    if pattern.parts.is_empty() {
        "[]".to_owned()
    } else {
        pattern.parts.iter().map(part).collect()
    }
}

#[test]
fn lines_become_predicates() {
    for (line, expected) in [
        ("F: abc", "[abc]"),
        ("F: ''", "[]"),
        ("F: [a, b]", "[a], [b]"),
        ("F: 4624", "#4624"),
        ("F: 0x1F", "#31"),
        ("F: '4624'", "[4624]"),
        ("F: true", "bool true"),
        ("F: yes", "[yes]"),
        ("F: null", "null"),
        ("F:", "null"),
        ("F: 'a*b?c'", "[a]*[b]?[c]"),
        ("F|contains: abc", "*[abc]*"),
        ("F|contains: '*abc*'", "*[abc]*"),
        ("F|startswith: abc", "[abc]*"),
        ("F|endswith: 'dir\\'", r"*[dir\]"),
        ("F|contains: 62", "*[62]*"),
        ("F|contains: true", "*[true]*"),
        ("F|contains|all: [a, b]", "*[a]* & *[b]*"),
        ("F|all: ['*a*', 5]", "*[a]* & #5"),
        ("F|cased: Abc", "[Abc] cased"),
        ("F|contains|cased: Abc", "*[Abc]* cased"),
        ("F|neq: [a, 1]", "not [a], #1"),
        ("F|exists: true", "exists true"),
        ("F|exists: no", "exists false"),
        ("F|lt: 10", "Less 10"),
        ("F|gte: -0.5", "GreaterOrEqual -0.5"),
        ("F|re: '^a.b$'", "~^a.b$~"),
        ("F|re|i|s: 'a(?<n>b)'", "~a(?<n>b)~is"),
        ("F|re: 46", "~46~"),
        ("F|cidr: ['10.0.0.0/8', 'fe80::/10']", "10.0.0.0/8, fe80::/10"),
        ("F|base64: foobar", "[Zm9vYmFy]"),
        ("F|base64offset|contains: foobar", "*[Zm9vYmFy]* / *[Zvb2Jhc]* / *[mb29iYX]*"),
        ("F|wide|base64: cmd", "[YwBtAGQA]"),
        ("F|utf16be|base64: cmd", "[AGMAbQBk]"),
        ("F|utf16|base64: cmd", "[//5jAG0AZAA=]"),
        ("F|utf16le: cm", "[c\0m\0]"),
        ("F|windash|contains: ' -a'", "*[ -a]* / *[ /a]* / *[ –a]* / *[ —a]* / *[ ―a]*"),
        ("F|fieldref: G", "Equal G false"),
        ("F|fieldref|startswith: G", "StartsWith G false"),
        ("F|endswith|fieldref|cased: G", "EndsWith G true"),
        ("F|fieldref|neq: G", "not Equal G false"),
        ("'|all': [a, 'b c']", "*[a]* & *[b c]*"),
        ("'|startswith': a", "[a]*"),
        ("'|re': a+", "~a+~"),
        ("- a", "*[a]*"),
        ("- 4625", "*[4625]*"),
        ("F|year: 2023", "Year None 2023"),
        ("F|month|gt: 10", "Month Some(Greater) 10"),
        ("F|week|neq: [1, 53]", "not Week None 1, Week None 53"),
        ("F|beginswith: a", "[a]*"),
        ("F|greater_than: 5", "Greater 5"),
    ] {
        assert_eq!(shown(&item(line).predicate), expected, "{line}");
    }
}

#[test]
fn a_setting_allows_what_has_no_linear_time_meaning() {
    let mut options = ParseOptions::default();
    options.allows_backtracking = true;
    for (line, expected) in [
        ("F|re: 'ab(?=c)d'", Ok("backtracking ab(?=c)d")),
        (r"F|re|i|m: '(a)\<\1'", Ok(r"backtracking (?im)(a)[<]\1")),
        ("F|re|s: 'a++.'", Ok("backtracking (?s)a++.")),
        ("F|re: 'a+.'", Ok("~a+.~")),
        ("F|re: '(?=a'", Err("nor by backtracking")),
        ("F|re: '(?<=a+)b'", Err("nor by backtracking")),
    ] {
        let parsed = parsed(line, &options);
        let shown = match parsed.documents.first() {
            Some(Document::Rule(rule)) => match &rule.detection.selections[0].body {
                Block::AllOf(blocks) => match &blocks[0] {
                    Block::Item(item) => Ok(shown(&item.predicate)),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            },
            _ => Err(parsed.diagnostics[0].help.clone().unwrap()),
        };
        match (shown, expected) {
            (Ok(shown), Ok(expected)) => assert_eq!(shown, expected, "{line}"),
            (Err(help), Err(part)) => assert!(help.contains(part), "{line}: {help}"),
            (other, _) => panic!("{line}: {other:?}"),
        }
    }
    let long = format!("F|re: '(?=a){}'", "b".repeat(5_000));
    assert!(parsed(&long, &options).documents.is_empty());
}

#[test]
fn placeholders_take_every_combination_of_their_values() {
    let mut options = ParseOptions::default();
    options.placeholders.insert("a".into(), vec!["root".into(), "adm_*".into()]);
    options.placeholders.insert("b".into(), vec!["1".into(), "2".into()]);
    for (line, expected) in [
        ("F|expand: '%a%'", "[root] / [adm_]*"),
        ("F|expand: '%b%-%b%'", "[1-1] / [1-2] / [2-1] / [2-2]"),
        ("F|contains|expand: '%a%'", "*[root]* / *[adm_]*"),
        (r"F|expand: '\%a%b%'", "[%a1] / [%a2]"),
        ("F: '%a%'", "[%a%]"),
        ("F|re|expand: '^%a%$'", "~^root$~ / ~^adm_.*$~"),
        ("F|expand|base64: '%b%'", "[MQ==] / [Mg==]"),
    ] {
        let parsed = parsed(line, &options);
        let Some(Document::Rule(rule)) = parsed.documents.first() else {
            panic!("{line}: {:?}", parsed.diagnostics)
        };
        let Block::AllOf(blocks) = &rule.detection.selections[0].body else { panic!("{line}") };
        let Block::Item(item) = &blocks[0] else { panic!("{line}") };
        assert_eq!(shown(&item.predicate), expected, "{line}");
    }
    let many = vec!["x".to_owned(); 200];
    options.placeholders.insert("a".into(), many);
    let parsed = parsed("F|expand: '%a%%a%%a%'", &options);
    assert_eq!(parsed.diagnostics[0].code, Code::LimitAlternatives);
}

#[test]
fn wrong_lines_have_their_code_and_place() {
    for (line, code, part) in [
        ("F|contans: x", Code::UnknownModifier, "contans"),
        ("F|: x", Code::UnknownModifier, ""),
        ("F|Contains: x", Code::UnknownModifier, "Contains"),
        ("F|contains|re: x", Code::ModifierConflict, "re"),
        ("F|gt|lt: 5", Code::ModifierConflict, "lt"),
        ("F|i: x", Code::ModifierConflict, "i"),
        ("'|exists': true", Code::ModifierConflict, "'|exists'"),
        ("F|lt: ten", Code::ModifierValue, "ten"),
        ("F|exists: perhaps", Code::ModifierValue, "perhaps"),
        ("F|fieldref: 'G*'", Code::ModifierValue, "'G*'"),
        ("F|contains: null", Code::ModifierValue, "null"),
        ("F|base64: 'a*'", Code::ModifierValue, "'a*'"),
        ("F|utf16: x", Code::ModifierValue, "x"),
        ("F|hour: 24", Code::ModifierValue, "24"),
        ("F|week: 54", Code::ModifierValue, "54"),
        ("F|contains: {G: x}", Code::TypeError, "{G: x}"),
        ("F: {G: {H: x}}", Code::TypeError, "{G: {H: x}}"),
        ("F: [[a]]", Code::TypeError, "[a]"),
        ("'': x", Code::TypeError, "''"),
        ("F: []", Code::EmptyDetection, "F"),
        ("- [] ", Code::EmptyDetection, "[]"),
        ("- null", Code::NullInList, "null"),
        ("F|cidr: 'ten.0.0.0/8'", Code::BadCidr, "'ten.0.0.0/8'"),
        ("F|re: 'ab(?=c)d'", Code::BadRegex, "(?="),
        ("F|re: '[[]ab(?!c)'", Code::BadRegex, "(?!"),
        ("F|re: \"x(abc\"", Code::BadRegex, "("),
        ("F|expand: 'x%Servers%'", Code::PlaceholderUnresolved, "%Servers%"),
    ] {
        let text = format!(
            "title: t\nlogsource: {{category: test}}\ndetection:\n  sel:\n    {line}\n  \
             condition: sel\n"
        );
        let parsed = sigmill_parser::parse(&text);
        assert!(parsed.documents.is_empty(), "{line}");
        let [diagnostic] = parsed.diagnostics.as_slice() else {
            panic!("{line}: {:?}", parsed.diagnostics)
        };
        assert_eq!((diagnostic.code, &text[diagnostic.span.range()]), (code, part), "{line}");
    }
}

#[test]
fn odd_but_clear_lines_load_with_a_word() {
    for (line, code) in [
        ("F|cidr: '10.0.0.1/8'", Code::BadCidr),
        ("F|contains|all: x", Code::ModifierValue),
        ("F|lt: '10'", Code::ModifierValue),
        ("F: ['', null]", Code::NullInList),
        ("F|less_than: 5", Code::ModifierAlias),
    ] {
        let parsed = parsed(line, &ParseOptions::default());
        assert_eq!(parsed.documents.len(), 1, "{line}");
        assert_eq!(parsed.diagnostics.len(), 1, "{line}");
        assert_eq!(parsed.diagnostics[0].code, code, "{line}");
    }
}

#[test]
fn a_map_under_a_field_is_an_error_and_its_names_are_the_fields() {
    let text = |line: &str| {
        format!(
            "title: t\nlogsource: {{category: test}}\ndetection:\n  sel:\n    {line}\n  \
             condition: sel\n"
        )
    };
    let parsed = sigmill_parser::parse(&text("F: {G: x, H|contains: y}"));
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.diagnostics[0].code, Code::TypeError);
    assert_eq!(parsed.diagnostics[0].severity, sigmill_parser::Severity::Error);
    let [Document::Rule(rule)] = parsed.documents.as_slice() else { panic!("it loads") };
    let shown = format!("{:?}", rule.detection.selections[0].body);
    assert!(shown.contains("\"G\"") && shown.contains("\"H\"") && !shown.contains("\"F\""));
}

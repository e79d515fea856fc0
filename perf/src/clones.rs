//! More rules than anybody has written: the given ones again, with other literals.
//!
//! In: texts of rules. Out: as many texts as asked for. The first ones are the originals; each further
//! round repeats them with letters and digits of their literals replaced by others of the same kind, so
//! that lengths, punctuation, wildcards and escapes stay as they are. A share of the literals stays,
//! since rules do repeat each other. Values under modifiers whose texts have a grammar stay, and so do
//! those that say what kind of event it is: a clone without them could never be reached. No random numbers:
//! the same rules give the same clones.

/// Modifiers whose values are left alone.
const KEPT_MODIFIERS: &[&str] =
    &["re", "cidr", "fieldref", "exists", "lt", "lte", "gt", "gte", "expand"];
/// Fields whose values are left alone.
const KEPT_FIELDS: &[&str] =
    &["channel", "provider_name", "eventid", "eventsource", "eventname", "type", "logtype"];
/// Words that are no texts.
const WORDS: &[&str] = &["null", "~", "true", "false", "yes", "no", "on", "off", ""];
/// So many of a hundred literals stay.
const KEPT_SHARE: u64 = 30;

/// `count` rules made of `texts`.
pub(crate) fn clones(texts: &[String], count: usize) -> Vec<String> {
    let originals: Vec<&String> =
        texts.iter().filter(|text| text.contains("\ndetection:")).collect();
    assert!(!originals.is_empty(), "there are rules to clone");
    let rounds = count.div_ceil(originals.len());
    let all = (0..rounds).flat_map(|round| {
        originals.iter().map(move |text| match round {
            0 => (*text).clone(),
            round => clone(text, round),
        })
    });
    all.take(count).collect()
}

fn clone(text: &str, round: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut is_detection = false;
    // Indentation of a key and whether the values below it stay.
    let mut keys: Vec<(usize, bool)> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if indent == 0 && !line.is_empty() && !line.starts_with(['#', '-']) {
            is_detection = line.starts_with("detection:");
        }
        if let Some(title) = line.strip_prefix("title:") {
            out +=
                &format!("title: {} [clone {round}]\n", unquoted(title.trim()).replace(": ", " "));
            continue;
        }
        if let Some(id) = line.strip_prefix("id:") {
            out += &format!("id: {}\n", other_id(id.trim(), round));
            continue;
        }
        if is_detection && indent > 0 {
            detection_line(line, round, &mut keys, &mut out);
        } else {
            out += line;
        }
        out.push('\n');
    }
    out
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['\'', '"'])
}

/// A UUID of the same form: its first part counts the rounds.
fn other_id(id: &str, round: usize) -> String {
    let seed = hash(&format!("{round}:{id}"));
    match id.split_once('-') {
        Some((_, rest)) => format!("{:08x}-{rest}", seed as u32),
        None => format!("{id}-{round}"),
    }
}

fn detection_line(line: &str, round: usize, keys: &mut Vec<(usize, bool)>, out: &mut String) {
    let content = line.trim_start().trim_start_matches("- ").trim_start();
    let start = line.len() - content.len();
    let indent = line.len() - line.trim_start().len();
    let key_end = key_end(content);
    keys.retain(|(at, _)| *at < if key_end.is_some() { start } else { indent + 1 });
    let Some(colon) = key_end else {
        let is_kept = keys.iter().any(|(_, is_kept)| *is_kept);
        out.push_str(&line[..start]);
        push_value(content, round, is_kept, out);
        return;
    };
    let key = &content[..colon];
    let mut parts = key.split('|');
    let field = unquoted(parts.next().unwrap_or("")).to_lowercase();
    let is_condition = matches!(key, "condition" | "timeframe");
    let is_kept = is_condition
        || KEPT_FIELDS.contains(&field.as_str())
        || parts.any(|modifier| KEPT_MODIFIERS.contains(&unquoted(modifier)))
        || keys.iter().any(|(_, is_kept)| *is_kept);
    keys.push((start, is_kept));
    out.push_str(&line[..start + colon + 1]);
    let value = &content[colon + 1..];
    let space = value.len() - value.trim_start().len();
    out.push_str(&value[..space]);
    push_value(&value[space..], round, is_kept, out);
}

/// Where a line's key ends, if it has one.
fn key_end(content: &str) -> Option<usize> {
    if content.starts_with(['\'', '"', '#']) {
        return None;
    }
    let colon = content.find(':')?;
    let is_key = content[colon + 1..].is_empty() || content[colon + 1..].starts_with(' ');
    is_key.then_some(colon)
}

fn push_value(value: &str, round: usize, is_kept: bool, out: &mut String) {
    let plain = value.split(" #").next().unwrap_or("").trim();
    let is_quoted = plain.starts_with('\'');
    // Escapes of double quotes have a grammar; so have flow collections and block texts.
    let is_odd = plain.starts_with(['"', '[', '{', '|', '>', '&', '*', '!', '#', '%', '@', '`']);
    let is_word = !is_quoted
        && (WORDS.contains(&plain.to_lowercase().as_str()) || plain.parse::<f64>().is_ok());
    let seed = hash(&format!("{round}\0{plain}"));
    if is_kept || is_odd || is_word || seed % 100 < KEPT_SHARE {
        out.push_str(value);
        return;
    }
    let mut state = seed;
    for c in value.chars() {
        state = next(state);
        out.push(match c {
            'a'..='z' => rotated(c, b'a', 26, state),
            'A'..='Z' => rotated(c, b'A', 26, state),
            '0'..='9' => rotated(c, b'0', 10, state),
            c => c,
        });
    }
}

/// Another character of the same kind.
fn rotated(c: char, first: u8, count: u64, state: u64) -> char {
    let at = u64::from(c as u8 - first);
    let moved = (at + 1 + (state >> 33) % (count - 1)) % count;
    (first + moved as u8) as char
}

fn hash(text: &str) -> u64 {
    next(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// The step of a generator with 64 bits of state (splitmix64).
fn next(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use sigmill_parser::Pipelines;

    use super::*;
    use crate::input::parse_rules;

    const RULE: &str = "\
title: 'Odd: things'
id: 11111111-1111-4111-8111-111111111111
logsource:
    category: process_creation
detection:
    selection_img:
        - Image|endswith: '\\mimikatz.exe'
        - OriginalFileName: mimikatz.exe
    other:
        EventID: 4688
        CommandLine|re: 'abc[0-9]+'
        CommandLine|contains|all:
            - 'sekurlsa::'
            - ' -abcdef *?'
            - \"tab\\there\"
        Count: 17
    condition: selection_img or other
level: high
";

    #[test]
    fn clones_differ_in_their_literals_and_load() {
        let texts = clones(&[RULE.to_owned()], 20);
        assert_eq!(texts[0], RULE);
        for text in &texts[1..] {
            for kept in
                ["EventID: 4688", "'abc[0-9]+'", "tab\\there", "Count: 17", "selection_img or"]
            {
                assert!(text.contains(kept), "{kept} in {text}");
            }
            assert_ne!(text, RULE);
            assert_eq!(text.lines().count(), RULE.lines().count());
        }
        let rules = parse_rules(&texts, &Pipelines::default());
        assert_eq!(rules.len(), 20);
        let changed = texts.iter().filter(|text| !text.contains("mimikatz.exe'")).count();
        assert!((8..20).contains(&changed), "{changed}");
        assert!(texts.iter().any(|text| text.contains("::'") && !text.contains("sekurlsa")));
    }

    #[test]
    fn the_same_rules_give_the_same_clones() {
        let rules = [RULE.to_owned()];
        assert_eq!(clones(&rules, 7), clones(&rules, 7));
        let ids: std::collections::HashSet<String> = clones(&rules, 50)
            .iter()
            .flat_map(|text| text.lines().filter(|line| line.starts_with("id:")))
            .map(str::to_owned)
            .collect();
        assert_eq!(ids.len(), 50);
    }
}

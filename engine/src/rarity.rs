//! How rare a few bytes are in logs: where a literal is best looked for.
//!
//! `bigrams.txt` has how often one character follows another in sample events of Windows and cloud logs,
//! as the negated logarithm to base 2, less [`BASE`], one hexadecimal digit for each pair: a line for
//! each first character, a column for each second one, in the order of [`class`]. `sigmill-perf bigrams`
//! makes it. It is a guide only: what is found does not depend on it.

use std::sync::LazyLock;

const CLASSES: usize = 64;
/// What a digit of zero stands for.
const BASE: f32 = 5.0;

/// Every character that is not listed by name is of the last class.
const SPECIAL: &[u8] = b" .-_\\/:,\"'()[]{}=+;&|<>?*%$";

/// A byte's class: letters without case, digits, some signs, the rest.
pub fn class(byte: u8) -> usize {
    const CLASS_OF: [u8; 256] = {
        let mut classes = [CLASSES as u8 - 1; 256];
        let mut letter = 0;
        while letter < 26 {
            classes[(b'a' + letter) as usize] = letter;
            classes[(b'A' + letter) as usize] = letter;
            letter += 1;
        }
        let mut digit = 0;
        while digit < 10 {
            classes[(b'0' + digit) as usize] = 26 + digit;
            digit += 1;
        }
        let mut sign = 0;
        while sign < SPECIAL.len() {
            classes[SPECIAL[sign] as usize] = 36 + sign as u8;
            sign += 1;
        }
        classes
    };
    usize::from(CLASS_OF[usize::from(byte)])
}

struct Bigrams {
    /// By first and second class: the logarithm of their share.
    pairs: [[f32; CLASSES]; CLASSES],
    /// By class: the logarithm of its share.
    singles: [f32; CLASSES],
}

static BIGRAMS: LazyLock<Bigrams> = LazyLock::new(|| {
    let mut pairs = [[-BASE - 15.0; CLASSES]; CLASSES];
    for (row, line) in pairs.iter_mut().zip(include_str!("bigrams.txt").lines()) {
        for (cell, digit) in row.iter_mut().zip(line.chars()) {
            *cell = -BASE - digit.to_digit(16).unwrap_or(15) as f32;
        }
    }
    let singles = pairs.map(|row| row.iter().map(|log| log.exp2()).sum::<f32>().log2());
    Bigrams { pairs, singles }
});

/// The share of places in logs where these bytes stand, without case, about.
pub(crate) fn share(bytes: &[u8]) -> f32 {
    let bigrams = &*BIGRAMS;
    let pairs = bytes.windows(2).map(|pair| bigrams.pairs[class(pair[0])][class(pair[1])]);
    let inner = bytes.iter().skip(1).rev().skip(1).map(|byte| bigrams.singles[class(*byte)]);
    match bytes {
        [single] => bigrams.singles[class(*single)].exp2(),
        _ => (pairs.sum::<f32>() - inner.sum::<f32>()).exp2(),
    }
}

/// The table's text, from how often each class follows another.
pub fn table(counts: &[[u64; CLASSES]; CLASSES]) -> String {
    let total: u64 = counts.iter().flatten().sum();
    let digit = |count: &u64| {
        let log = -((*count as f32 + 0.1) / total.max(1) as f32).log2();
        char::from_digit((log - BASE).round().clamp(0.0, 15.0) as u32, 16).unwrap_or('f')
    };
    counts.iter().map(|row| row.iter().map(digit).collect::<String>() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_are_full_of_is_common() {
        assert_eq!(include_str!("bigrams.txt").lines().count(), CLASSES);
        for (common, rare) in [("micr", "dpap"), ("32\\\\", "ekur"), ("time", "kiwi"), ("a", "q")] {
            assert!(share(common.as_bytes()) > 2.0 * share(rare.as_bytes()), "{common} {rare}");
        }
    }
}

//! Values under `re` that have no linear-time meaning, where a setting allows them: checked to be
//! expressions that a bounded backtracking search can run.

use fancy_regex::RegexBuilder;

use crate::predicate::{Regex, Test};
use crate::regex;

/// Longest expression.
const EXPRESSION_BYTES_MAX: usize = 4 << 10;
/// Most bytes that one compiled part of an expression may take.
const PART_BYTES_MAX: usize = 8 << 20;

/// The test for an expression that [`regex::check`] has refused.
///
/// # Errors
/// The backtracking engine refuses it too; the text says why.
pub(crate) fn test(written: &Regex) -> Result<Test, String> {
    if written.pattern.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("it is longer than {EXPRESSION_BYTES_MAX} bytes"));
    }
    let expression = regex::respelled(written);
    let built = RegexBuilder::new(&expression).delegate_size_limit(PART_BYTES_MAX).build();
    match built {
        Ok(_) => Ok(Test::Backtracking(expression)),
        Err(error) => Err(error.to_string()),
    }
}

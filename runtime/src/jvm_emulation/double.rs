//! Fractions as Java writes them.

/// A double as `Double.toString` has it: digits up to 10⁷, beyond and below 10⁻³ with an exponent.
pub fn java_text(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return match number {
            number if number.is_nan() => "NaN".into(),
            f64::INFINITY => "Infinity".into(),
            f64::NEG_INFINITY => "-Infinity".into(),
            number if number.is_sign_negative() => "-0.0".into(),
            _ => "0.0".into(),
        };
    }
    if (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if digits.contains('.') { "" } else { ".0" };
    format!("{digits}{point}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::java_text;

    #[test]
    fn doubles_are_spelled_as_java_spells_them() {
        for (number, text) in [
            (1_672_686_740.343_989, "1.672686740343989E9"),
            (1.5, "1.5"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (-2.5e10, "-2.5E10"),
            (0.0, "0.0"),
        ] {
            assert_eq!(java_text(number), text);
        }
    }
}

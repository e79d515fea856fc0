//! Filters of paths: `(@.x == 'y' && (@.n > 3 || !@.z))`.
//!
//! `!` binds before `&&` before `||`. On the left stands a path from the value at hand (`@`), on the right a text
//! in quotes, a number, `true`, `false` or `null`. A path alone asks whether it leads somewhere.

use super::{PathFilter, PathLiteral, PathRelation, PathStep, quoted, spend, steps};

/// Reads a filter in its parentheses, or one without; what stands behind is returned too.
pub(super) fn read<'a>(text: &'a str, budget: &mut usize) -> Result<(PathFilter, &'a str), String> {
    let mut reader = Reader { rest: text, budget };
    let filter = reader.any()?;
    Ok((filter, reader.rest))
}

struct Reader<'a, 'b> {
    rest: &'a str,
    budget: &'b mut usize,
}

/// Each of these consumes what it reads, with the blanks behind it. Every level of nesting costs a part of the budget.
impl Reader<'_, '_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(behind) => {
                self.rest = behind.trim_start();
                true
            }
            None => false,
        }
    }

    fn any(&mut self) -> Result<PathFilter, String> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, PathFilter::Any))
    }

    fn all(&mut self) -> Result<PathFilter, String> {
        let mut parts = vec![self.not()?];
        while self.take("&&") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, PathFilter::All))
    }

    fn not(&mut self) -> Result<PathFilter, String> {
        spend(self.budget)?;
        if self.take("!") {
            return Ok(PathFilter::Not(Box::new(self.not()?)));
        }
        if self.take("(") {
            let inner = self.any()?;
            return match self.take(")") {
                true => Ok(inner),
                false => Err("has a filter with a parenthesis that does not end".into()),
            };
        }
        self.test()
    }

    fn test(&mut self) -> Result<PathFilter, String> {
        let Some(behind) = self.rest.strip_prefix('@') else {
            let at: String = self.rest.chars().take(20).collect();
            return Err(format!("has a filter with `{at}` where a path from `@` has to stand"));
        };
        self.rest = behind;
        let path: Vec<PathStep> = steps(&mut self.rest, true, self.budget)?;
        self.rest = self.rest.trim_start();
        let relations = [
            ("==", PathRelation::Equal),
            ("!=", PathRelation::NotEqual),
            ("<=", PathRelation::LessOrEqual),
            (">=", PathRelation::GreaterOrEqual),
            ("<", PathRelation::Less),
            (">", PathRelation::Greater),
        ];
        let relation = relations.into_iter().find(|(token, _)| self.take(token));
        match relation {
            Some((_, relation)) => {
                Ok(PathFilter::Compare { path, relation, literal: self.literal()? })
            }
            None if self.rest.starts_with(['=', '~']) || self.rest.starts_with("in ") => {
                Err("has a filter with an operator other than == != < <= > >=".into())
            }
            None => Ok(PathFilter::Exists(path)),
        }
    }

    fn literal(&mut self) -> Result<PathLiteral, String> {
        if self.rest.starts_with(['\'', '"']) {
            let text = quoted(&mut self.rest)?;
            self.rest = self.rest.trim_start();
            return Ok(PathLiteral::Text(text));
        }
        let is_end = |c: char| c.is_whitespace() || "&|)]".contains(c);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(end);
        let literal = match word {
            "true" => PathLiteral::Bool(true),
            "false" => PathLiteral::Bool(false),
            "null" => PathLiteral::Null,
            word if word.parse::<f64>().is_ok_and(f64::is_finite) => {
                PathLiteral::Number(word.to_owned())
            }
            word => {
                return Err(format!(
                    "has a filter that compares with `{word}`: a text in quotes, a number, true, \
                     false or null is expected"
                ));
            }
        };
        self.rest = behind.trim_start();
        Ok(literal)
    }
}

fn one_or(mut parts: Vec<PathFilter>, many: fn(Vec<PathFilter>) -> PathFilter) -> PathFilter {
    match parts.len() {
        1 => parts.remove(0),
        _ => many(parts),
    }
}

#[cfg(test)]
mod tests {
    use crate::json_path::{JsonPath, PathFilter, PathLiteral, PathRelation, PathStep};

    fn filter(text: &str) -> PathFilter {
        let path = JsonPath::parse(&format!("$.a[?{text}].b")).unwrap().unwrap();
        assert_eq!(path.steps[2], PathStep::Key("b".into()), "{text}");
        let PathStep::Filter(filter) = path.steps[1].clone() else { panic!("{text}: {path:?}") };
        filter
    }

    fn compare(key: &str, relation: PathRelation, literal: PathLiteral) -> PathFilter {
        PathFilter::Compare { path: vec![PathStep::Key(key.into())], relation, literal }
    }

    #[test]
    fn filters_have_their_structure() {
        let x = || compare("x", PathRelation::Equal, PathLiteral::Text("y".into()));
        let n = || compare("n", PathRelation::GreaterOrEqual, PathLiteral::Number("-1.5".into()));
        let exists = || PathFilter::Exists(vec![PathStep::Key("z".into())]);
        assert_eq!(filter("(@.x == 'y')"), x());
        assert_eq!(filter("(@['x']==\"y\")"), x());
        assert_eq!(filter("( @.n >= -1.5 )"), n());
        assert_eq!(
            filter("(@.x == 'y' && @.n>=-1.5 || !@.z)"),
            PathFilter::Any(vec![
                PathFilter::All(vec![x(), n()]),
                PathFilter::Not(Box::new(exists()))
            ])
        );
        assert_eq!(
            filter("(@.x == 'y' && (@.z || @.b != null))"),
            PathFilter::All(vec![
                x(),
                PathFilter::Any(vec![
                    exists(),
                    compare("b", PathRelation::NotEqual, PathLiteral::Null)
                ])
            ])
        );
        let whole = PathFilter::Compare {
            path: vec![],
            relation: PathRelation::Less,
            literal: PathLiteral::Number("5".into()),
        };
        assert_eq!(filter("(@ < 5)"), whole);
    }

    #[test]
    fn what_is_no_filter_says_so() {
        for (text, said) in [
            ("(@.x =~ /y/)", "operator"),
            ("(@.x in ['y'])", "operator"),
            ("(@.x == y)", "in quotes"),
            ("(@.x == NaN)", "in quotes"),
            ("(x == 'y')", "from `@`"),
            ("(@.x == 'y'", "does not end"),
            ("(@.x == 'y)", "quote"),
            ("()", "from `@`"),
        ] {
            let why = JsonPath::parse(&format!("$.a[?{text}]")).unwrap().unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
        let deep = format!("$.a[?{}@.x{}]", "(".repeat(5000), ")".repeat(5000));
        assert!(JsonPath::parse(&deep).unwrap().unwrap_err().contains("more than 64"));
    }
}

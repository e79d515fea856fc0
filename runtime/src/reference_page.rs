//! Holds tables of the reference pages to the code that they describe.

use std::fs;

/// The table between the marks of that name is what the code says. With `UPDATE_EXPECT=1` it becomes that.
pub(crate) fn check(page: &str, name: &str, table: &str) {
    let path = format!("{}/../docs/reference/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (head, rest) = text.split_once(&begin).unwrap();
    let (found, tail) = rest.split_once(&end).unwrap();
    if found != table && std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
        return;
    }
    assert_eq!(found, table, "run the test with UPDATE_EXPECT=1 and look at the diff");
}

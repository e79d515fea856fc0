//! The pipelines that come with the library.

/// Name and text of each.
const SHIPPED: [(&str, &str); 3] = [
    ("windows", include_str!("../../../config/pipelines/windows.yml")),
    ("ecs", include_str!("../../../config/pipelines/ecs.yml")),
    ("zeek", include_str!("../../../config/pipelines/zeek.yml")),
];

/// Their names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The text of one.
pub(super) fn text(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}

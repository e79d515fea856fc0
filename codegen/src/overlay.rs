//! Which fields that somebody lays over records are asked for by anybody.
//!
//! In: the overlays in their order, each with the fields that it reads and those that it lays, and the
//! fields that are wanted for more than rules. Out: when each is to be done. What it then reads is made a
//! field of the plan; an overlay that nobody asks for costs nothing. An overlay may read what one before it lays, which is then
//! asked for too.

use sigmill_engine::PlanBuilder;

/// Fields that are laid over records, and those that are read for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverlayFields {
    /// What is read, by name.
    pub reads: Vec<String>,
    /// What is laid over.
    pub lays: Vec<String>,
}

/// Overlays, and what else than rules asks for their fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overlays {
    /// In the order in which they are done.
    pub all: Vec<OverlayFields>,
    /// Fields that are read of records that match.
    pub wanted: Vec<String>,
}

/// When an overlay is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayUse {
    /// Before matching: rules, or what they feed, look at its fields.
    Matching,
    /// Only for records that match.
    Matched,
    /// Never.
    None,
}

/// Makes fields of what is read, and says when.
pub(crate) fn place(overlays: &Overlays, builder: &mut PlanBuilder) -> Vec<OverlayUse> {
    let mut uses = vec![OverlayUse::None; overlays.all.len()];
    mark(overlays, &mut uses, OverlayUse::Matching, builder);
    for field in &overlays.wanted {
        builder.field(field);
    }
    mark(overlays, &mut uses, OverlayUse::Matched, builder);
    uses
}

/// From the last to the first: what one reads, only one before it can lay.
fn mark(
    overlays: &Overlays,
    uses: &mut [OverlayUse],
    as_used: OverlayUse,
    builder: &mut PlanBuilder,
) {
    for (overlay, used) in overlays.all.iter().zip(uses).rev() {
        if *used == OverlayUse::None && overlay.lays.iter().any(|field| builder.has_field(field)) {
            *used = as_used;
            for field in &overlay.reads {
                builder.field(field);
            }
        }
    }
}

//! Tables and joins for a command that matches files.
//!
//! In: a properties file, as `sigmill run` reads it. Out: the tables, loaded, and what is joined; what there is to
//! say about the tables goes to standard error. Paths in the file are taken from the working folder, as for `run`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use sigmill_codegen::Overlays;
use sigmill_runtime::enrich::{EnrichSettings, JoinPlan, TableSet, Tables};
use sigmill_runtime::properties::Properties;

use crate::exit::{Exit, Failure, OrExit as _};
use crate::rule_set::RuleSet;
use crate::stdio::say;

/// Settings and tables; empty without a file.
#[derive(Debug, Default)]
pub(crate) struct Enrichment {
    settings: Arc<EnrichSettings>,
    tables: Arc<Tables>,
}

impl Enrichment {
    /// Reads the settings and loads the tables.
    ///
    /// # Errors
    /// The file cannot be read, a setting is wrong, or a table cannot be loaded (all usage).
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let properties = Properties::read(path)
            .with_context(|| format!("cannot read the settings `{}`", path.display()))
            .or_exit(Exit::Usage)?;
        let mut problems = Vec::new();
        let settings = EnrichSettings::read(&properties, &mut problems);
        if !problems.is_empty() {
            let lines: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            return Err(Failure::Error(Exit::Usage, anyhow!("{}", lines.join("\n"))));
        }
        let set = TableSet::load(&settings, say).or_exit(Exit::Usage)?;
        Ok(Self { settings: Arc::new(settings), tables: Arc::new(set.tables()) })
    }

    /// What is laid over records.
    pub(crate) fn overlays(&self) -> Overlays {
        self.settings.overlays(&self.tables.columns())
    }

    /// The joins that the rules need.
    pub(crate) fn joins(&self, rule_set: &RuleSet) -> Option<(Arc<JoinPlan>, Arc<Tables>)> {
        let columns = self.tables.columns();
        let settings = Arc::clone(&self.settings);
        let plan = JoinPlan::new(settings, &columns, &rule_set.plan, &rule_set.overlays);
        (!self.settings.is_empty()).then(|| (Arc::new(plan), Arc::clone(&self.tables)))
    }
}

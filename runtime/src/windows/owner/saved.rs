//! An owner as bytes that outlive the process: everything that its next record could depend on.

use std::collections::HashMap;
use std::sync::Arc;

use sigmill_engine::window::{WindowConfig, Windows};

use super::openings::{List, Listed};
use super::places::Place;
use super::{Clock, Live, Owner, Source};
use crate::commit::Start;
use crate::windows::match_batch::{
    Malformed, list, put, put_bytes, put_signed, take, take_bytes, take_signed,
};
use crate::windows::rules::WindowRules;

impl Owner {
    /// Writes all that is known behind `out`, for [`Self::load`].
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        put(out, self.sources.len() as u64);
        for source in &self.sources {
            put_bytes(out, source.topic.as_bytes());
            put_signed(out, i64::from(source.partition));
            put(out, u64::from(source.clock.is_some()));
            put_clock(out, &source.clock.unwrap_or(Clock::UNTOLD));
        }
        put(out, self.owners.len() as u64);
        for (partition, clocks) in &self.owners {
            put_signed(out, i64::from(*partition));
            put(out, clocks.len() as u64);
            clocks.iter().for_each(|clock| put_clock(out, clock));
        }
        put(out, self.watermarks.len() as u64);
        self.watermarks.iter().for_each(|watermark| put_signed(out, *watermark));
        put_signed(out, self.time_max);
        put(out, self.places.len() as u64);
        for place in self.places.iter() {
            put_signed(out, place.offset);
            put_signed(out, place.time);
        }
        put(out, self.listed.len() as u64);
        for (version, listed) in &self.listed {
            put_signed(out, *version as i64);
            for list in [&listed.whole, &listed.coming] {
                put(out, u64::from(list.is_some()));
                put_signed(out, list.as_ref().map_or(0, |list| list.settled));
                put(out, list.as_ref().map_or(0, |list| list.missing));
            }
        }
        put(out, self.live.len() as u64);
        for (version, live) in &self.live {
            put_signed(out, *version as i64);
            put(out, live.seen.len() as u64);
            for (source, offset) in &live.seen {
                put(out, u64::from(*source));
                put(out, *offset);
            }
            // How long the windows are is known when they are written.
            let place = out.len();
            out.extend_from_slice(&[0; 8]);
            live.windows.save(out);
            let len = (out.len() - place - 8) as u64;
            out[place..place + 8].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// The owner that was saved, for a partition that begins at `start`; windows of versions that are not in
    /// force are left out.
    ///
    /// # Errors
    /// The bytes are not an owner.
    pub(crate) fn load(
        config: WindowConfig,
        rules: &WindowRules,
        start: &Start,
        mut bytes: &[u8],
    ) -> Result<Self, Malformed> {
        let from = &mut bytes;
        let mut owner = Self::new(config, &Start::default());
        owner.silent_until = start.committed;
        let sources = list(from, |from| {
            let topic = std::str::from_utf8(take_bytes(from)?).map_err(|_| Malformed)?;
            let partition = i32::try_from(take_signed(from)?).map_err(|_| Malformed)?;
            let is_told = take(from)? != 0;
            Ok((topic, partition, Some(take_clock(from)?).filter(|_| is_told)))
        })?;
        for (topic, partition, clock) in sources {
            let known = owner.source_index(topic, partition, clock.is_some());
            let Source { clock: of_source, .. } = &mut owner.sources[known as usize];
            *of_source = clock;
        }
        owner.owners = list(from, |from| {
            let partition = i32::try_from(take_signed(from)?).map_err(|_| Malformed)?;
            Ok((partition, list(from, take_clock)?))
        })?
        .into_iter()
        .collect();
        owner.watermarks = list(from, take_signed)?;
        owner.time_max = take_signed(from)?;
        for (offset, time) in list(from, |from| Ok((take_signed(from)?, take_signed(from)?)))? {
            owner.places.push(Place { offset, time });
        }
        owner.listed = list(from, |from| {
            let version = take_signed(from)? as u64;
            let mut of_list = || {
                let is_there = take(from)? != 0;
                let (settled, missing) = (take_signed(from)?, take(from)?);
                let list = List { settled, missing, groups: HashMap::new() };
                Ok(Some(list).filter(|_| is_there))
            };
            Ok((version, Listed { whole: of_list()?, coming: of_list()? }))
        })?
        .into_iter()
        .collect();
        for _ in 0..take(from)? {
            let version = take_signed(from)? as u64;
            let seen = list(from, |from| {
                let source = u32::try_from(take(from)?).map_err(|_| Malformed)?;
                Ok((source, take(from)?))
            })?;
            let (len, rest) = from.split_first_chunk::<8>().ok_or(Malformed)?;
            let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| Malformed)?;
            let (windows, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
            *from = rest;
            let Some(rule) = rules.by_version.get(&version) else { continue };
            let windows = Windows::load(Arc::clone(&rule.plan), owner.config.clone(), windows);
            let live = Live {
                rule: Arc::clone(rule),
                windows: windows.map_err(|_| Malformed)?,
                seen: seen.into_iter().collect(),
                told_at: i64::MIN,
            };
            owner.live.insert(version, live);
        }
        if from.is_empty() { Ok(owner) } else { Err(Malformed) }
    }
}

fn put_clock(out: &mut Vec<u8>, clock: &Clock) {
    put_signed(out, clock.time);
    put(out, u64::from(clock.is_idle));
}

fn take_clock(from: &mut &[u8]) -> Result<Clock, Malformed> {
    Ok(Clock { time: take_signed(from)?, is_idle: take(from)? != 0 })
}

//! One value as the tests of atoms see it: its kind, its text, its folded text, its number.
//!
//! Texts are unescaped and folded at most once a value and record; a test that needs neither costs
//! nothing.

use crate::decimal::Decimal;
use crate::index::FieldValue;
use crate::tape::{Kind, Range, Value};
use crate::text;

/// Where the texts of a value are.
#[derive(Debug, Clone, Copy)]
struct TextPlace {
    /// In the record, or (unescaped) in the buffer.
    plain: Range,
    plain_is_raw: bool,
    folded: Range,
}

/// A value whose texts are made when somebody asks.
pub(crate) struct LazyValue<'a> {
    pub(crate) record: &'a [u8],
    pub(crate) value: &'a mut FieldValue,
    pub(crate) texts: &'a mut Texts,
}

impl<'a> LazyValue<'a> {
    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        self.value.value.kind
    }

    /// Its bytes as they stand in the record; of a text without the quotes.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.value.value.range.of(self.record)
    }

    /// Its texts.
    pub(crate) fn view(&mut self) -> ValueView<'_> {
        self.texts.view(self.record, self.value)
    }
}

/// The texts made for one record.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    places: Vec<TextPlace>,
    buf: Vec<u8>,
}

/// A value with its texts at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueView<'a> {
    pub(crate) kind: Kind,
    /// Its text as it is; empty for null, objects, arrays.
    pub(crate) plain: &'a [u8],
    /// Its text, folded.
    pub(crate) folded: &'a [u8],
}

impl ValueView<'_> {
    /// Texts, numbers and booleans have a text.
    pub(crate) fn has_text(&self) -> bool {
        !matches!(self.kind, Kind::Null | Kind::Array | Kind::Object)
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::EscapedText)
    }

    /// The text that may say a moment.
    pub(crate) fn moment(&self) -> Option<&[u8]> {
        (self.is_text() || self.kind == Kind::Number).then_some(self.plain)
    }

    /// The number that the value is, or that its text reads as.
    pub(crate) fn decimal(&self) -> Option<Decimal> {
        match self.kind {
            Kind::Text | Kind::EscapedText | Kind::Number => Decimal::parse(self.plain),
            _ => None,
        }
    }
}

impl Texts {
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.buf.clear();
    }

    /// The view of a value; its texts are made now if they were not before.
    pub(crate) fn view<'a>(
        &'a mut self,
        record: &'a [u8],
        value: &mut FieldValue,
    ) -> ValueView<'a> {
        let place = match value.text {
            Some(place) => place,
            None => {
                let place = self.places.len() as u32;
                let made = self.make(record, value.value);
                self.places.push(made);
                value.text = Some(place);
                place
            }
        };
        self.at(record, value.value.kind, place)
    }

    fn at<'a>(&'a self, record: &'a [u8], kind: Kind, place: u32) -> ValueView<'a> {
        let place = self.places[place as usize];
        let plain = if place.plain_is_raw { record } else { &self.buf };
        ValueView { kind, plain: place.plain.of(plain), folded: place.folded.of(&self.buf) }
    }

    fn make(&mut self, record: &[u8], value: Value) -> TextPlace {
        let (plain, plain_is_raw) = match value.kind {
            Kind::EscapedText => {
                let start = self.buf.len() as u32;
                text::unescape(value.range.of(record), &mut self.buf);
                (Range { start, end: self.buf.len() as u32 }, false)
            }
            Kind::Null | Kind::Array | Kind::Object => (Range::default(), true),
            _ => (value.range, true),
        };
        let start = self.buf.len() as u32;
        if plain_is_raw {
            text::fold(plain.of(record), &mut self.buf);
        } else {
            self.fold_unescaped(plain);
        }
        TextPlace { plain, plain_is_raw, folded: Range { start, end: self.buf.len() as u32 } }
    }

    /// Appends the folding of a text that stands in the buffer itself.
    fn fold_unescaped(&mut self, plain: Range) {
        let start = self.buf.len();
        self.buf.extend_from_within(plain.start as usize..plain.end as usize);
        if self.buf[start..].is_ascii() {
            self.buf[start..].make_ascii_lowercase();
        } else {
            let plain = self.buf.split_off(start);
            text::fold(&plain, &mut self.buf);
        }
    }
}

//! What is kept with a position, and the rows that came too late for it.

use arrow::datatypes::FieldRef;
use datafusion::logical_expr::Expr;
use serde::{Deserialize, Serialize};

use crate::bridge::opaque::Opaque;
use crate::error::Result;
use crate::source::{Late, Mark, Source};

/// A position as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) position: String,
    /// The point in time at which it was reached, where the source has said it.
    #[serde(default)]
    pub(super) mark: Option<Mark>,
}

impl Kept {
    /// What a target notes: the position alone where there is no more. A text that looks like more is noted in full.
    pub(super) fn noted(&self) -> Result<String> {
        let is_plain = self.mark.is_none() && !self.position.starts_with('{');
        Ok(if is_plain { self.position.clone() } else { serde_json::to_string(self)? })
    }

    /// What a target has noted; without a mark it is the position alone.
    pub(super) fn parse(noted: &str) -> Self {
        let full = noted.starts_with('{').then(|| serde_json::from_str(noted).ok()).flatten();
        full.unwrap_or_else(|| Self { position: noted.to_owned(), mark: None })
    }
}

/// The rows below a position that came after it was reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Missed {
    /// What keeps all of them, and perhaps others; none where there are none, or nobody knows them.
    pub(super) filter: Option<Opaque<Expr>>,
    /// A column of the source beyond its shape, at which the filter looks.
    pub(super) column: Option<FieldRef>,
    /// Why some of them are not known, one sentence each.
    pub(super) notes: Vec<String>,
}

impl Missed {
    /// What of `source` came too late for copies that were at these `marks`.
    pub(super) async fn since(marks: &[Option<Mark>], source: &dyn Source) -> Result<Self> {
        let mut missed = Self::default();
        for (place, mark) in marks.iter().enumerate() {
            if marks[..place].contains(mark) {
                continue;
            }
            let late = match mark {
                Some(mark) if !mark.running => continue,
                Some(mark) => source.late(mark).await?,
                None => Late::Unknown("nothing but the position was kept".to_owned()),
            };
            match late {
                Late::Among { filter, column } => missed.add(&filter, column),
                Late::Unknown(why) => missed.notes.push(format!(
                    "rows of transactions that were still running when the position was reached are not looked for: {why}; \
                     one copy of all rows by --mode upsert has them"
                )),
            }
        }
        Ok(missed)
    }

    fn add(&mut self, filter: &Expr, column: FieldRef) {
        let before = self.filter.as_deref().cloned();
        let all = before.map_or_else(|| filter.clone(), |before| before.or(filter.clone()));
        (self.filter, self.column) = (Some(all.into()), Some(column));
    }

    /// Leaves out all but what is `wanted`.
    pub(super) fn keep(&mut self, wanted: &Expr) {
        self.filter = self.filter.as_deref().map(|filter| filter.clone().and(wanted.clone()).into());
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use datafusion::logical_expr::{col, lit};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lies_before_the_start_is_not_missed() {
        let (mut missed, wanted) = (Missed::default(), col("n").gt_eq(lit(5_i64)));
        missed.keep(&wanted);
        assert!(missed.filter.is_none());
        for oldest in [90_i64, 70] {
            missed.add(&col("w").gt_eq(lit(oldest)), Field::new("w", DataType::Int64, false).into());
        }
        missed.keep(&wanted);
        let filter = missed.filter.unwrap().to_string();
        assert_eq!(filter, "(w >= Int64(90) OR w >= Int64(70)) AND n >= Int64(5)");
    }

    #[test]
    fn a_position_is_kept_with_and_without_a_mark() {
        let mark = Mark { running: true, detail: json!({"oldest": 18_446_744_073_709_551_615_u64}) };
        for (position, mark, is_plain) in
            [("13", None, true), ("13", Some(mark), false), ("{\"position\": 1}", None, false), ("{", None, false)]
        {
            let kept = Kept { position: position.to_owned(), mark };
            let noted = kept.noted().unwrap();
            assert_eq!((noted == position, Kept::parse(&noted)), (is_plain, kept), "{noted}");
        }
        // Noted before there were marks, by a cursor of texts.
        assert_eq!(Kept::parse("{x").position, "{x");
    }
}

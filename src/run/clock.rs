//! The clock by which instants and times without a zone stand for each other: what it makes possible, and what is said of it.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::{Field, FieldRef, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::fate::{clock_name, has_zone, may_name_times};
use crate::job::Job;
use crate::schema::{CLOCK, with_metadata};
use crate::shape::TableShape;
use crate::sink::Agreement;

/// Refuses a zone that nobody knows.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn check(job: &Job) -> Result<()> {
    match &job.transform.zone {
        Some(zone) if zone.parse::<Tz>().is_err() => Err(Error::new(ErrorKind::Usage, format!("{zone:?} is no zone"))
            .with_hint("write an offset such as +08:00, or a name such as Asia/Shanghai")
            .at("option", "--clock")),
        _ => Ok(()),
    }
}

/// Offers timestamps, and texts that may be such, with the clock of `job`, where their source has none of its own.
pub(super) fn offer(job: &Job, shape: &mut TableShape) {
    let Some(zone) = &job.transform.zone else { return };
    let offered = |field: &FieldRef| {
        let goes_by_clock = has_zone(field).is_some() || may_name_times(field);
        if goes_by_clock && !field.metadata().contains_key(CLOCK) {
            Arc::new(with_metadata(field.as_ref().clone(), CLOCK, zone))
        } else {
            Arc::clone(field)
        }
    };
    shape.schema = with_fields(&shape.schema, offered);
}

/// Notes in `agreement` over `shape` which columns go by a clock; their fields of the target name it, and no others.
pub(super) fn settle(shape: &TableShape, agreement: &mut Agreement) {
    let Agreement { columns, target, .. } = agreement;
    let settled = |field: &FieldRef| {
        let mut settled: Field = field.as_ref().clone();
        settled.metadata_mut().remove(CLOCK);
        let plan = columns.iter_mut().find(|plan| plan.target.as_ref() == Some(field.name()));
        let from = plan.as_ref().and_then(|plan| shape.schema.field_with_name(plan.incoming.as_ref()?).ok());
        if let (Some(plan), Some(clock)) = (plan, from.and_then(|from| clock_name(from, field))) {
            plan.add_note(&format!("by the clock of {clock}"));
            settled = with_metadata(settled, CLOCK, clock);
        }
        Arc::new(settled)
    };
    *target = with_fields(target, settled);
}

/// Whether a column of `agreement`, which is settled, goes by a clock.
pub(super) fn is_used(agreement: &Agreement) -> bool {
    agreement.target.fields().iter().any(|field| field.metadata().contains_key(CLOCK))
}

fn with_fields(schema: &Schema, changed: impl FnMut(&FieldRef) -> FieldRef) -> Arc<Schema> {
    let fields: Vec<FieldRef> = schema.fields().iter().map(changed).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, TimeUnit};
    use serde_json::json;

    use super::*;
    use crate::job::Place;
    use crate::object::ObjectRef;
    use crate::schema::DIGITS;

    fn field(name: &str, zone: Option<&str>) -> Field {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into)), true)
    }

    fn job(zone: &str) -> Job {
        let place = || Place::new("memory", json!({}), ObjectRef::Table("t".to_owned()));
        let mut job = Job::new(place(), place());
        job.transform.zone = Some(zone.to_owned());
        job
    }

    #[test]
    fn a_zone_is_an_offset_or_a_name() {
        for zone in ["+08:00", "-03:30", "UTC", "Europe/Berlin"] {
            assert!(check(&job(zone)).is_ok(), "{zone}");
        }
        let error = check(&job("Mars")).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "\"Mars\" is no zone"));
    }

    /// The clock of a product goes before that of the transfer, for its instants alone.
    #[test]
    fn timestamps_are_offered_with_a_clock() {
        let own = with_metadata(field("own", Some("UTC")), CLOCK, "+09:00");
        let number = Field::new("n", DataType::Int64, true);
        let text = Field::new("text", DataType::Utf8, true);
        let digits = with_metadata(text.clone().with_name("digits"), DIGITS, "");
        let columns = vec![field("at", Some("UTC")), field("local", None), own, number, text, digits];
        let schema = Arc::new(Schema::new(columns));
        let mut shape = TableShape::of(schema);
        offer(&job("+08:00"), &mut shape);
        let said: Vec<Option<&str>> =
            shape.schema.fields().iter().map(|field| field.metadata().get(CLOCK).map(String::as_str)).collect();
        assert_eq!(said, [Some("+08:00"), Some("+08:00"), Some("+09:00"), None, Some("+08:00"), None]);
        let name = |from: usize, to: &Field| clock_name(shape.schema.field(from), to).map(str::to_owned);
        let (instant, local) = (field("t", Some("UTC")), field("t", None));
        assert_eq!(name(0, &local).as_deref(), Some("+08:00"));
        assert_eq!(name(0, &instant), None);
        assert_eq!(name(1, &with_metadata(instant, CLOCK, "+07:00")).as_deref(), Some("+07:00"));
        assert_eq!(name(2, &local).as_deref(), Some("+09:00"));
        assert_eq!(name(3, &local), None);
        assert_eq!(name(4, &local), None);
        assert_eq!(name(4, &field("t", Some("UTC"))).as_deref(), Some("+08:00"));
    }
}

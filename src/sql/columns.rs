//! How the columns of rows find those of a table, and what becomes of each: what agreements of SQL databases share.
//!
//! What a type holds, and what of a value a target would change, only its connector knows.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Fields, Schema};

use crate::error::{Error, ErrorKind, Result};
use crate::fate::{fate, possible, remedy};
use crate::merge::Merge;
use crate::schema::PERHAPS;
use crate::shape::TableShape;
use crate::sink::{ColumnPlan, SchemaPolicy};

/// When two names are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// When they are written alike.
    Exact,
    /// Whatever the case of their Latin letters.
    AsciiCase,
    /// Whatever the case of any letter.
    AnyCase,
}

impl Names {
    /// The place of `name` among `names`. One that is written alike comes before one that is taken for the same.
    pub fn find<'a>(self, mut names: impl Iterator<Item = &'a str> + Clone, name: &str) -> Option<usize> {
        let alike = names.clone().position(|other| other == name);
        alike.or_else(|| names.position(|other| self.are_same(other, name)))
    }

    /// Refuses columns of a new table of `product` of which two have the same name.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema).
    pub fn refuse_doubled(self, columns: &Fields, product: &str) -> Result<()> {
        for (place, field) in columns.iter().enumerate() {
            if let Some(other) = columns[..place].iter().find(|other| self.are_same(other.name(), field.name())) {
                let message = format!("{product} takes this name for that of another column: {}", other.name());
                return Err(Error::new(ErrorKind::Schema, message)
                    .with_hint("rename one of them with --rename")
                    .at("column", field.name()));
            }
        }
        Ok(())
    }

    fn are_same(self, one: &str, other: &str) -> bool {
        match self {
            Self::Exact => one == other,
            Self::AsciiCase => one.eq_ignore_ascii_case(other),
            Self::AnyCase => one.to_lowercase() == other.to_lowercase(),
        }
    }
}

/// A column of a table into which rows are to come.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its exact name.
    pub name: &'a str,
    /// Its type in the target's own words.
    pub native_type: &'a str,
    /// What is in it where nothing comes.
    pub unfilled: Unfilled,
}

impl Known<'_> {
    /// The plan where nothing comes; it says what is in the column then.
    pub fn added(&self) -> ColumnPlan {
        let held = match self.unfilled {
            Unfilled::Computed => "the target computes it",
            Unfilled::Default => "its default",
            Unfilled::Null | Unfilled::Refused => "NULL",
        };
        ColumnPlan::added(self.name, self.native_type, Some(held))
    }
}

/// What is in a column into which nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfilled {
    /// What the table computes, whatever comes.
    Computed,
    /// Its default.
    Default,
    /// NULL.
    Null,
    /// Nothing: a row is refused then.
    Refused,
}

/// The columns of an agreement while it grows. `T` is what the connector knows of a type.
#[derive(Debug)]
pub struct Draft<T> {
    /// What happens to each column.
    pub plans: Vec<ColumnPlan>,
    /// The columns that are written.
    pub fields: Vec<Field>,
    /// Their types.
    pub types: Vec<T>,
}

impl<T> Default for Draft<T> {
    fn default() -> Self {
        Self { plans: Vec::new(), fields: Vec::new(), types: Vec::new() }
    }
}

impl<T> Draft<T> {
    /// The columns of `incoming` and of `table`, by name unless `policy` says by place. `fill` lets one that comes into the column at
    /// that place of the table.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) where columns differ more than `policy` allows, or in all; those of `fill`.
    pub fn matched(
        incoming: &TableShape,
        (table, names): (&[Known<'_>], Names),
        policy: SchemaPolicy,
        mut fill: impl FnMut(&mut Self, &Field, usize) -> Result<()>,
    ) -> Result<Self> {
        let mut draft = Self::default();
        let mut filled = vec![false; table.len()];
        let mut surplus = Vec::new();
        let by_place = policy == SchemaPolicy::ByPlace;
        if by_place {
            refuse_other_count(incoming.schema.fields(), table.len())?;
        }
        let come = if by_place { table.len() } else { incoming.schema.fields().len() };
        for (place, field) in incoming.schema.fields().iter().take(come).enumerate() {
            let named = || names.find(table.iter().map(|column| column.name), field.name());
            let found = if by_place { Some(place) } else { named() };
            let Some(place) = found else {
                surplus.push(field.name().as_str());
                draft.plans.push(ColumnPlan::dropped(field.name(), "the target has no such column"));
                continue;
            };
            if std::mem::replace(&mut filled[place], true) {
                let error = Error::new(ErrorKind::Schema, "two columns would fill the same column of the target");
                return Err(error.at("column", table[place].name));
            }
            if table[place].unfilled == Unfilled::Computed {
                draft.plans.push(ColumnPlan::dropped(field.name(), "the table computes it"));
                continue;
            }
            fill(&mut draft, field, place)?;
        }
        let is_empty = |(column, filled): &(&Known<'_>, &bool)| !**filled && column.unfilled != Unfilled::Computed;
        let empty: Vec<&Known<'_>> = table.iter().zip(&filled).filter(is_empty).map(|(column, _)| column).collect();
        let lacking = if policy == SchemaPolicy::Strict { empty.as_slice() } else { &[] };
        if policy != SchemaPolicy::Ignore && !(surplus.is_empty() && lacking.is_empty()) {
            return Err(differences(&surplus, lacking));
        }
        for column in empty {
            if column.unfilled == Unfilled::Refused {
                let message = "nothing fills this column, which takes no NULL and has no default";
                return Err(Error::new(ErrorKind::Schema, message).at("column", column.name));
            }
            draft.plans.push(ColumnPlan::added(column.name, column.native_type, None));
        }
        if draft.fields.is_empty() {
            return Err(Error::new(ErrorKind::Schema, "source and target have no column in common"));
        }
        Ok(draft)
    }

    /// Lets `from` into `to`, of a type that is `native_type` in the target's own words. The plan of it may be said more exactly.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) where no cast leads there.
    pub fn fill(&mut self, from: &Field, to: Field, (native_type, known): (&str, T)) -> Result<&mut ColumnPlan> {
        if !possible(from, &to) {
            let message = format!("no cast leads from {} to {native_type}", from.data_type());
            return Err(Error::new(ErrorKind::Schema, message).with_hint(remedy(from, &to)).at("column", from.name()));
        }
        self.plans.push(ColumnPlan {
            incoming: Some(from.name().clone()),
            fate: fate(from, &to),
            ..ColumnPlan::exact(to.name(), native_type)
        });
        self.fields.push(to);
        self.types.push(known);
        Ok(self.plans.last_mut().expect("one was added"))
    }

    /// What comes into the columns `names` of the target; a name into which nothing comes stays as it is.
    pub fn incoming_names(&self, names: &[String]) -> Vec<String> {
        let incoming = |name: &String| {
            let plan = self.plans.iter().find(|plan| plan.target.as_ref() == Some(name));
            plan.and_then(|plan| plan.incoming.clone()).unwrap_or_else(|| name.clone())
        };
        names.iter().map(incoming).collect()
    }

    /// `merge`, of which the key is settled, by the names of the target. The columns of its key are to hold no NULL.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a column that is not written.
    pub fn merge(&mut self, merge: &Merge) -> Result<Merge> {
        let target = |name: &str| {
            let plan = self.plans.iter().find(|plan| plan.incoming.as_deref() == Some(name));
            plan.and_then(|plan| plan.target.clone())
        };
        let merge = merge.within(target)?.of_all_columns()?;
        for field in self.fields.iter_mut().filter(|field| merge.key.contains(field.name())) {
            field.set_nullable(false);
        }
        Ok(merge)
    }
}

fn differences(surplus: &[&str], empty: &[&Known<'_>]) -> Error {
    let mut parts = Vec::new();
    if !surplus.is_empty() {
        parts.push(format!("the target lacks {}", surplus.join(", ")));
    }
    if !empty.is_empty() {
        let names: Vec<&str> = empty.iter().map(|column| column.name).collect();
        parts.push(format!("the source lacks {}", names.join(", ")));
    }
    Error::new(ErrorKind::Schema, format!("the columns differ: {}", parts.join("; ")))
        .with_hint("name columns alike with --rename, leave some out with --drop, or use --schema ignore")
}

/// `incoming` under `names`, those of a table, where `policy` pairs columns by their places; else as it is. The engine gives the columns
/// of an agreement their own names again.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) where there are not as many of them.
pub fn by_place<'a, 'n>(
    incoming: &'a TableShape,
    names: impl Iterator<Item = &'n str>,
    policy: SchemaPolicy,
) -> Result<Cow<'a, TableShape>> {
    if policy != SchemaPolicy::ByPlace {
        return Ok(Cow::Borrowed(incoming));
    }
    let (fields, names): (&Fields, Vec<&str>) = (incoming.schema.fields(), names.collect());
    refuse_other_count(fields, names.len())?;
    let named = |(field, name): (&FieldRef, &&str)| Arc::new(field.as_ref().clone().with_name(*name));
    let native = incoming.native.iter().zip(&names);
    let key = incoming.key.iter().filter_map(|key| fields.iter().position(|field| field.name() == key));
    Ok(Cow::Owned(TableShape {
        native: native.map(|(native, name)| native.as_ref().map(|field| named((field, name)))).collect(),
        key: key.map(|place| names[place].to_owned()).collect(),
        schema: Arc::new(Schema::new(fields.iter().zip(&names).map(named).collect::<Vec<_>>())),
        ..incoming.clone()
    }))
}

/// Beyond as many as are `there`, columns may come that are only perhaps there.
fn refuse_other_count(come: &Fields, there: usize) -> Result<()> {
    let surplus = come.iter().skip(there).any(|field| !field.metadata().contains_key(PERHAPS));
    if come.len() >= there && !surplus {
        return Ok(());
    }
    let message = format!("columns are paired by their places: {} come, and the target has {there}", come.len());
    Err(Error::new(ErrorKind::Schema, message).with_hint("name the columns that are filled, as many as come"))
}

/// Refuses columns of `incoming` and of `table` that differ more than `policy` allows. What has a default needs nothing to come.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema) listing what differs.
pub fn refuse_differences(
    incoming: &TableShape,
    (table, names): (&[Known<'_>], Names),
    policy: SchemaPolicy,
) -> Result<()> {
    let fields = incoming.schema.fields();
    let place = |field: &str| names.find(table.iter().map(|column| column.name), field);
    let places: Vec<Option<usize>> = fields.iter().map(|field| place(field.name())).collect();
    let comes = |place: usize| places.contains(&Some(place));
    let mut differences = Vec::new();
    for (_, column) in table.iter().enumerate().filter(|(place, _)| !comes(*place)) {
        let lacks = match column.unfilled {
            Unfilled::Refused => "refuses NULL and has no default",
            Unfilled::Null if policy == SchemaPolicy::Strict => "has no default",
            _ => continue,
        };
        differences.push(format!("{} is missing in the source and {lacks} in the target", column.name));
    }
    if policy != SchemaPolicy::Ignore {
        for (field, _) in fields.iter().zip(&places).filter(|(_, place)| place.is_none()) {
            let name = field.name();
            let other = table.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let hint = other.map_or_else(String::new, |other| format!(" (it has {})", other.name));
            differences.push(format!("{name} is not in the target{hint}"));
        }
    }
    let is_common = |(place, column): (usize, &Known<'_>)| comes(place) && column.unfilled != Unfilled::Computed;
    if differences.is_empty() && !table.iter().enumerate().any(is_common) {
        differences.push("no column has the same name".to_owned());
    }
    if differences.is_empty() {
        return Ok(());
    }
    let hint = "use --rename, --drop, --set or --select to match them, or --schema ignore to copy what both have";
    let message = format!("the columns of source and target differ: {}", differences.join("; "));
    Err(Error::new(ErrorKind::Schema, message).with_hint(hint))
}

/// One column that comes, in the forms in which it is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Its Arrow form.
    pub arrow: &'a Field,
    /// Its native form, where the source has one.
    pub native: Option<&'a Field>,
}

/// The columns of `incoming`, in the forms in which they are offered.
pub fn offers(incoming: &TableShape) -> impl Iterator<Item = Offer<'_>> {
    incoming
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, arrow)| Offer { arrow, native: incoming.native.get(index).and_then(|native| native.as_deref()) })
}

/// Refuses rows without columns, which no table takes.
///
/// # Errors
/// [`Schema`](ErrorKind::Schema).
pub fn refuse_none(incoming: &TableShape) -> Result<()> {
    if incoming.schema.fields().is_empty() {
        return Err(Error::new(ErrorKind::Schema, "there are no columns to write"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

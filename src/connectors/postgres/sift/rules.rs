//! The rules of a target, and the queries that find the rows of a stage that break them. Pure: SQL goes out.
//!
//! A query gives `etl_place`, the place of a row in the stage, and `etl_rule`, which rule it breaks: a number in the list.
//! Expressions of the server name columns alone, so each is computed over one table and then used under another name.

use serde::Deserialize;

use super::super::name::{identifier, identifiers};
use super::super::stage::{PART, ROW};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Rule {
    /// The constraint or the index.
    pub(super) name: String,
    /// The columns that it looks at.
    pub(super) columns: Vec<String>,
    #[serde(flatten)]
    pub(super) law: Law,
}

/// What it demands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum Law {
    /// The condition is not false.
    Check { condition: String },
    /// A row of another table has this key.
    Foreign {
        /// The table, quoted.
        refers: String,
        /// Its columns.
        to: Vec<String>,
        /// Either all columns are NULL or none is.
        full: bool,
        /// It is the target.
        itself: bool,
    },
    /// No two rows have the same key.
    Unique { keys: Vec<String>, predicate: Option<String>, nulls: Nulls },
}

/// Whether two keys with NULL may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Nulls {
    Distinct,
    Equal,
}

/// Where rows are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables<'a> {
    /// The stage, quoted.
    pub(super) stage: &'a str,
    /// The target, where its rows stay; none where it is emptied.
    pub(super) target: Option<&'a str>,
    /// The columns by which rows of the stage replace those of the target.
    pub(super) replaces: &'a [String],
    /// What says which row of the stage is the first.
    pub(super) order: Order,
}

/// Which row of a stage is before another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By splits, and by place within them.
    Source,
    /// As they lie there.
    Stored,
}

impl Order {
    fn columns(self) -> String {
        match self {
            Self::Source => format!("{}, {}", identifier(PART), identifier(ROW)),
            Self::Stored => "ctid".to_owned(),
        }
    }
}

impl Rule {
    /// What is wrong with a row that breaks it.
    pub(super) fn message(&self) -> &'static str {
        match &self.law {
            Law::Check { .. } => "the row does not meet a check of the target",
            Law::Foreign { full: true, .. } => "the row that it refers to is not there, or a part of its key is NULL",
            Law::Foreign { .. } => "the row that it refers to is not there",
            Law::Unique { .. } => "another row has the same key",
        }
    }

    pub(super) fn is_unique(&self) -> bool {
        matches!(self.law, Law::Unique { .. })
    }

    /// Whether rows of the target may refer to each other by it.
    pub(super) fn is_of_itself(&self) -> bool {
        matches!(self.law, Law::Foreign { itself: true, .. })
    }
}

/// Rows that break rule `number`, whatever other rows of the stage have; of one that refers to its own table, those whose
/// row is not there now.
pub(super) fn alone(rule: &Rule, number: usize, tables: Tables<'_>) -> Option<String> {
    let stage = tables.stage;
    let head = format!("SELECT s.ctid AS etl_place, {number} AS etl_rule FROM");
    match &rule.law {
        Law::Check { condition } => Some(format!("{head} {stage} AS s WHERE ({condition}) IS FALSE")),
        Law::Foreign { refers, to, full, itself } => {
            let pairs = |row: &str| {
                let columns = rule.columns.iter().zip(to);
                let pairs = columns.map(|(from, to)| format!("{row}.{} = s.{}", identifier(to), identifier(from)));
                pairs.collect::<Vec<_>>().join(" AND ")
            };
            let nulls = |word: &str| {
                let each = rule.columns.iter().map(|name| format!("s.{} IS {word}NULL", identifier(name)));
                each.collect::<Vec<_>>().join(if word.is_empty() { " OR " } else { " AND " })
            };
            let lacks = |table: &str| format!(" AND NOT EXISTS (SELECT FROM {table} AS t WHERE {})", pairs("t"));
            let mut sql = format!("{head} {stage} AS s WHERE {}", nulls("NOT "));
            if !*itself || tables.target.is_some() {
                sql += &lacks(refers);
            }
            if *itself {
                sql += &lacks(stage);
            }
            if *full {
                let some = rule.columns.iter().map(|name| format!("s.{} IS NOT NULL", identifier(name)));
                let some = some.collect::<Vec<_>>().join(" OR ");
                sql = format!("{sql} UNION ALL {head} {stage} AS s WHERE ({}) AND ({some})", nulls(""));
            }
            Some(sql)
        }
        Law::Unique { .. } => tables.target.and_then(|target| taken(rule, number, target, tables)),
    }
}

/// Rows whose key is that of a row which stays in the target.
fn taken(rule: &Rule, number: usize, target: &str, tables: Tables<'_>) -> Option<String> {
    let key = Key::of(rule)?;
    let stage = tables.stage;
    let mut stays = key.covered.clone();
    if !tables.replaces.is_empty() {
        let same = tables.replaces.iter().map(|name| format!("y.{0} = x.{0}", identifier(name)));
        let same = same.collect::<Vec<_>>().join(" AND ");
        stays = format!("{stays} AND NOT EXISTS (SELECT FROM {stage} AS y WHERE {same})");
    }
    let (columns, same) = (key.columns("k"), key.same("t.k", "s.k"));
    Some(format!(
        "SELECT s.etl_place, {number} AS etl_rule FROM (SELECT x.ctid AS etl_place, {columns} FROM {stage} AS x \
         WHERE {}) AS s WHERE EXISTS (SELECT FROM (SELECT {columns} FROM {target} AS x WHERE {stays}) AS t WHERE {same})",
        key.covered
    ))
}

/// Of rows of the stage with the same key, those that would be refused if all were inserted in their order: a row counts
/// only where it is the first by each rule. Where rows are found, it is to be asked again without them.
pub(super) fn among(rules: &[(usize, &Rule)], tables: Tables<'_>) -> Option<String> {
    let keys: Vec<(usize, Key<'_>)> =
        rules.iter().filter_map(|(number, rule)| Some((*number, Key::of(rule)?))).collect();
    if keys.is_empty() {
        return None;
    }
    let stage = tables.stage;
    let join = |parts: Vec<String>, between: &str| parts.join(between);
    let each = |part: &dyn Fn(usize, &Key<'_>) -> String| -> Vec<String> {
        keys.iter().enumerate().map(|(at, (_, key))| part(at, key)).collect()
    };
    // Keys of rows that a rule does not cover are not computed: it may be that they cannot be.
    let keyed =
        join(each(&|at, key| format!("{} AS c{at}, {}", key.covered, key.covered_columns(&format!("k{at}_")))), ", ");
    let several = join(
        each(&|at, key| {
            let names = key.names(&format!("k{at}_"));
            format!(
                "LEFT JOIN (SELECT {names}, true AS d{at} FROM keyed WHERE c{at} GROUP BY {names} HAVING count(*) > 1) AS d{at} \
                 ON keyed.c{at} AND {}",
                key.same(&format!("d{at}.k{at}_"), &format!("keyed.k{at}_"))
            )
        }),
        " ",
    );
    let any = join(each(&|at, _| format!("d{at}.d{at}")), " OR ");
    let over =
        |at: usize, key: &Key<'_>| format!("PARTITION BY c{at}, {} ORDER BY etl_order", key.names(&format!("k{at}_")));
    let ranks = join(
        each(&|at, key| format!("CASE WHEN c{at} THEN row_number() OVER ({}) ELSE 1 END AS r{at}", over(at, key))),
        ", ",
    );
    let best = join(each(&|at, _| format!("r{at}")), ", ");
    let firsts = join(each(&|at, key| format!("first_value(best) OVER ({}) AS f{at}", over(at, key))), ", ");
    let lost = |at: usize| format!("r{at} > 1 AND f{at} = 1");
    let which: Vec<String> =
        keys.iter().enumerate().map(|(at, (number, _))| format!("WHEN {} THEN {number}", lost(at))).collect();
    let losers = join(each(&|at, _| format!("({})", lost(at))), " OR ");
    Some(format!(
        "WITH keyed AS (SELECT x.ctid AS etl_place, ROW({order})::record AS etl_order, {keyed} FROM {stage} AS x), \
         several AS (SELECT keyed.* FROM keyed {several} WHERE {any}), \
         ranked AS (SELECT *, {ranks} FROM several), \
         judged AS (SELECT *, {firsts} FROM (SELECT *, greatest({best}) AS best FROM ranked) AS best) \
         SELECT etl_place, CASE {} END AS etl_rule FROM judged WHERE {losers}",
        which.join(" "),
        order = tables.order.columns(),
    ))
}

/// The key of a rule as expressions over one table.
struct Key<'a> {
    keys: &'a [String],
    nulls: Nulls,
    /// Whether the rule holds for a row.
    covered: String,
}

impl<'a> Key<'a> {
    fn of(rule: &'a Rule) -> Option<Self> {
        let Law::Unique { keys, predicate, nulls } = &rule.law else { return None };
        let known = match nulls {
            Nulls::Equal => "true".to_owned(),
            Nulls::Distinct => {
                let each: Vec<String> = keys.iter().map(|key| format!("({key}) IS NOT NULL")).collect();
                each.join(" AND ")
            }
        };
        let covered = match predicate {
            Some(predicate) => format!("CASE WHEN {predicate} THEN {known} ELSE false END"),
            None => format!("({known})"),
        };
        Some(Self { keys, nulls: *nulls, covered })
    }

    /// The expressions that are compared: one record where NULL is a value like others.
    fn parts(&self) -> Vec<String> {
        match self.nulls {
            Nulls::Distinct => self.keys.iter().map(|key| format!("({key})")).collect(),
            Nulls::Equal => vec![format!("ROW({})::record", self.keys.join(", "))],
        }
    }

    fn columns(&self, prefix: &str) -> String {
        let named = self.parts().into_iter().enumerate().map(|(at, part)| format!("{part} AS {prefix}{at}"));
        named.collect::<Vec<_>>().join(", ")
    }

    fn covered_columns(&self, prefix: &str) -> String {
        let named = self.parts().into_iter().enumerate();
        let named = named.map(|(at, part)| format!("CASE WHEN {} THEN {part} END AS {prefix}{at}", self.covered));
        named.collect::<Vec<_>>().join(", ")
    }

    fn names(&self, prefix: &str) -> String {
        let names = (0..self.parts().len()).map(|at| format!("{prefix}{at}"));
        names.collect::<Vec<_>>().join(", ")
    }

    fn same(&self, one: &str, other: &str) -> String {
        let pairs = (0..self.parts().len()).map(|at| format!("{one}{at} = {other}{at}"));
        pairs.collect::<Vec<_>>().join(" AND ")
    }
}

/// The rule of a primary key that is made when the rows are there.
pub(super) fn primary(name: String, key: &[String]) -> Rule {
    let keys = key.iter().map(|name| identifiers([name.as_str()])).collect();
    let law = Law::Unique { keys, predicate: None, nulls: Nulls::Distinct };
    Rule { name, columns: key.to_vec(), law }
}

//! Jobs as a native file: the inverse of [`settle`](super::settle). What is as it always is stays out.

use serde_json::{Map, Value as Json, json};

use super::ENDS;
use crate::error::{Error, ErrorKind, Result};
use crate::job::locator::{PATHS, holds_secret, is_secret, only_secret};
use crate::job::vars::escaped;
use crate::job::{Job, Place};
use crate::object::ObjectRef;

/// Members that are switches.
const TOGGLES: [&str; 3] = ["emptySync", "keepStage", "pushdown"];

/// The file of `jobs`.
pub fn emit(jobs: &[Job]) -> Result<Json> {
    let transfers = jobs.iter().map(transfer).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "transfers": transfers }))
}

/// Refuses `jobs` that hold a password or another secret, and not a reference to it.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) that names the place, not the secret.
pub fn refuse_secrets(jobs: &[Job]) -> Result<()> {
    for place in jobs.iter().flat_map(|job| job.sources().chain(job.targets()).chain(&job.errors.rejects)) {
        let options = place.options.as_object();
        let open = options.into_iter().flatten().find(|(key, value)| {
            let Json::String(text) = value else { return is_secret(key) && !value.is_null() };
            match key.as_str() {
                "url" => !PATHS.contains(&place.connector.as_str()) && holds_secret(text),
                key => is_secret(key) && !text.is_empty() && !text.contains("${"),
            }
        });
        if let Some((key, _)) = open {
            return Err(Error::new(ErrorKind::Usage, "a secret stands there as it is, and a job file must hold none")
                .at("option", key)
                .at("connector", &place.connector)
                .with_hint("write ${NAME} in single quotes instead, and export NAME"));
        }
    }
    Ok(())
}

/// Puts `${NAME}` in the place of each secret that stands in an option of its own, or alone in a locator, and gives the names.
pub fn refer_to_secrets(jobs: &mut [Job]) -> Vec<String> {
    let mut names: Vec<(String, String)> = Vec::new();
    for job in jobs {
        let also = job.also.iter_mut().map(|place| ("ALSO", place));
        let union = job.union.iter_mut().map(|place| ("UNION", place));
        let rejects = job.errors.rejects.iter_mut().map(|place| ("REJECTS", place));
        let ends = [("SOURCE", &mut job.source), ("TARGET", &mut job.target)];
        for (side, place) in ends.into_iter().chain(union).chain(also).chain(rejects) {
            let is_path = PATHS.contains(&place.connector.as_str());
            for (key, value) in place.options.as_object_mut().into_iter().flatten() {
                let Json::String(text) = value else { continue };
                let (before, secret, behind) = match key.as_str() {
                    "url" if !is_path => only_secret(text).unwrap_or_default(),
                    key if is_secret(key) && !text.contains("${") => ("", text.as_str(), ""),
                    _ => continue,
                };
                if secret.is_empty() {
                    continue;
                }
                let known = names.iter().find(|(known, _)| known == secret).map(|(_, name)| name.clone());
                let name = known.unwrap_or_else(|| {
                    let number = if names.is_empty() { String::new() } else { format!("_{}", names.len() + 1) };
                    let key = if key == "url" { "PASSWORD".to_owned() } else { key.to_ascii_uppercase() };
                    let name = format!("{side}_{key}{number}");
                    names.push((secret.to_owned(), name.clone()));
                    name
                });
                *text = format!("{before}${{{name}}}{behind}");
            }
        }
    }
    names.into_iter().map(|(_, name)| name).collect()
}

fn transfer(job: &Job) -> Result<Json> {
    let plain = serde_json::to_value(Job::new(job.source.clone(), job.target.clone()))?;
    let mut told = Map::new();
    let places: [Vec<Json>; 2] = [job.sources().map(place).collect(), job.targets().map(place).collect()];
    for ([one, several, ..], mut places) in ENDS.into_iter().zip(places) {
        match places.pop() {
            Some(place) if places.is_empty() => told.insert(one.to_owned(), place),
            last => {
                places.extend(last);
                told.insert(several.to_owned(), Json::from(places))
            }
        };
    }
    let Json::Object(members) = serde_json::to_value(job)? else { return Ok(Json::Object(told)) };
    for (key, mut value) in members {
        if ENDS.iter().any(|[.., first, others]| key == *first || key == *others) {
            continue;
        }
        let same = json!(null);
        if is_pruned(&mut value, plain.get(&key).unwrap_or(&same)) {
            continue;
        }
        escape(&mut value);
        told.insert(key, value);
    }
    if let (Some(rejects), Some(Json::Object(errors))) = (&job.errors.rejects, told.get_mut("errors")) {
        errors.insert("rejects".to_owned(), place(rejects));
    }
    switch(&mut told);
    if let Some(Json::Object(transform)) = told.get_mut("transform") {
        switch(transform);
    }
    Ok(Json::Object(told))
}

/// Takes what is as in `plain` out of `value`; whether nothing is left.
fn is_pruned(value: &mut Json, plain: &Json) -> bool {
    if value == plain {
        return true;
    }
    if let (Json::Object(members), Json::Object(plain)) = (value, plain) {
        members.retain(|key, member| !plain.get(key).is_some_and(|plain| is_pruned(member, plain)));
    }
    false
}

/// `$${` for `${`, which would be a variable.
fn escape(value: &mut Json) {
    match value {
        Json::String(text) => *text = escaped(text),
        Json::Array(array) => array.iter_mut().for_each(escape),
        Json::Object(object) => object.values_mut().for_each(escape),
        _ => {}
    }
}

fn switch(members: &mut Map<String, Json>) {
    for key in TOGGLES {
        if let Some(member) = members.get_mut(key) {
            *member = Json::Bool(member == "on");
        }
    }
}

fn place(place: &Place) -> Json {
    let mut told = Map::new();
    told.insert("connector".to_owned(), json!(place.connector));
    let is_path = PATHS.contains(&place.connector.as_str());
    for (key, value) in place.options.as_object().into_iter().flatten() {
        let mut value = value.clone();
        if is_path {
            escape(&mut value);
        }
        told.insert(key.clone(), value);
    }
    match &place.object {
        ObjectRef::Whole => {}
        ObjectRef::Table(table) => drop(told.insert("table".to_owned(), Json::from(escaped(table)))),
        ObjectRef::Query(query) => drop(told.insert("query".to_owned(), Json::from(escaped(query)))),
    }
    Json::Object(told)
}

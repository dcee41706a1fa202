//! Several sources of one transfer, which reads them as one: their columns paired by name or place and brought to common types,
//! their splits one behind the other. To the rest of a run they are one endpoint with one session and one source.
//!
//! What lies at the same place is read at one point in time; different places have no such point among them.

mod columns;
mod source;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};

use self::source::{Part, Several};
use super::stages::endpoint;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Snapshot, StepToken};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::{Place, UnionBy};
use crate::sink::{Agreement, Sink};
use crate::source::Source;

/// The places of a transfer's sources as one endpoint, built and not opened.
pub(super) fn endpoint_of(places: &[Place], by: UnionBy) -> Result<Arc<dyn Endpoint>> {
    if let [place] = places {
        return endpoint(place);
    }
    if places.iter().filter(|place| place.options["url"] == "-").count() > 1 {
        return Err(Error::new(ErrorKind::Usage, "stdin can be a source but once"));
    }
    let mut known: Vec<(&Place, Arc<dyn Endpoint>)> = Vec::new();
    let mut members = Vec::new();
    for place in places {
        let same = |other: &Place| other.connector == place.connector && other.options == place.options;
        let at = known.iter().position(|(other, _)| same(other)).unwrap_or(known.len());
        if at == known.len() {
            known.push((place, endpoint(place)?));
        }
        members.push(Member { at, object: place.object.clone() });
    }
    let endpoints = known.into_iter().map(|(_, endpoint)| endpoint).collect();
    Ok(Arc::new(Together { endpoints, members, by }))
}

/// One source: an object at one of the endpoints.
#[derive(Clone, Debug)]
struct Member {
    at: usize,
    object: ObjectRef,
}

/// The endpoints of several sources.
#[derive(Debug)]
struct Together {
    endpoints: Vec<Arc<dyn Endpoint>>,
    members: Vec<Member>,
    by: UnionBy,
}

/// Sources that a label names; of more it tells the number.
const NAMED: usize = 3;

impl Together {
    fn label_of(&self, member: &Member) -> String {
        let endpoint = self.endpoints[member.at].label();
        match &member.object {
            ObjectRef::Table(table) => format!("{endpoint}#{table}"),
            _ => endpoint,
        }
    }

    fn none(&self, what: &str) -> Error {
        Error::new(ErrorKind::Unsupported, format!("several sources are read together, and {what}"))
            .at("source", self.label())
    }
}

#[async_trait]
impl Endpoint for Together {
    fn label(&self) -> String {
        let named: Vec<String> = self.members.iter().take(NAMED).map(|member| self.label_of(member)).collect();
        match self.members.len() - named.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    fn unproven(&self) -> Option<String> {
        self.endpoints.iter().find_map(|endpoint| endpoint.unproven())
    }

    async fn list(&self, _: &str) -> Result<Vec<ObjectRef>> {
        Ok(self.members.iter().map(|member| member.object.clone()).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        Err(self.none("reached one by one"))
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        if request.join.is_some() && self.endpoints.len() > 1 {
            return Err(self.none("no point in time is that of several places").as_kind(ErrorKind::Usage));
        }
        let open = self.endpoints.iter().enumerate().map(|(at, endpoint)| async move {
            let objects = self.members.iter().filter(|member| member.at == at).map(|member| member.object.clone());
            let request = OpenRequest { objects: objects.collect(), ..request.clone() };
            endpoint.open(&request).await.at("source", || endpoint.label())
        });
        let sessions = try_join_all(open).await?;
        let parts = self.members.iter().map(|member| {
            let source = sessions[member.at].source(&member.object)?;
            Ok(Part { source, label: self.label_of(member) })
        });
        let parts = parts.collect::<Result<_>>()?;
        Ok(Arc::new(Sessions { source: Arc::new(Several::new(parts, sessions.len(), self.by)), sessions }))
    }

    async fn execute(&self, _: &StepToken, _: &str) -> Result<()> {
        Err(self.none("run no statement"))
    }

    async fn finish(&self, _: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, _: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Err(self.none("are no target"))
    }
}

/// The sessions of all places.
#[derive(Debug)]
struct Sessions {
    sessions: Vec<Arc<dyn Session>>,
    source: Arc<Several>,
}

#[async_trait]
impl Session for Sessions {
    fn snapshot(&self) -> Snapshot {
        let snapshots: Vec<Snapshot> = self.sessions.iter().map(|session| session.snapshot()).collect();
        together(snapshots)
    }

    fn source(&self, _: &ObjectRef) -> Result<Arc<dyn Source>> {
        Ok(Arc::clone(&self.source) as Arc<dyn Source>)
    }

    async fn check(&self) -> Result<()> {
        try_join_all(self.sessions.iter().map(|session| session.check())).await.map(drop)
    }

    async fn close(&self) -> Result<()> {
        // All of them, also when one fails.
        join_all(self.sessions.iter().map(|session| session.close())).await.into_iter().collect()
    }
}

/// Who can see the points in time of all of `snapshots`. Other processes can join one session, not several.
fn together(snapshots: Vec<Snapshot>) -> Snapshot {
    if let [_] = snapshots.as_slice() {
        return snapshots.into_iter().next().unwrap_or_default();
    }
    if snapshots.contains(&Snapshot::None) {
        return Snapshot::None;
    }
    let lasting: Option<Vec<&str>> = snapshots
        .iter()
        .map(|snapshot| match snapshot {
            Snapshot::Lasting(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    lasting.map_or(Snapshot::Private, |texts| Snapshot::Lasting(texts.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::SnapshotId;

    #[test]
    fn points_in_time_of_several_places_are_no_better_than_the_worst() {
        let lasting = |text: &str| Snapshot::Lasting(text.to_owned());
        let shared = || Snapshot::Shared(SnapshotId("1".to_owned()));
        assert_eq!(together(vec![shared()]), shared());
        assert_eq!(together(vec![lasting("a"), lasting("b")]), lasting("a\nb"));
        assert_eq!(together(vec![lasting("a"), shared()]), Snapshot::Private);
        assert_eq!(together(vec![shared(), Snapshot::None]), Snapshot::None);
    }
}

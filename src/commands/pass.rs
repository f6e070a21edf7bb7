//! The straight line of `plan` and `apply`: from the files to what must exist, to what Vault has, to what will be done.
//! The same core as the controller's; only where things are looked up differs.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::connect::{self, Target, Trouble};
use super::files::{FileProblem, Place, Sources};
use super::report::Origin;
use crate::api::{VaultConnection, VaultJwtBinding};
use crate::desired::{self, Claim, Desired, ProblemKind};
use crate::sync::{self, Memory, Mode, Observation, Owner, Plan, Takeover};

/// A binding, and what the files alone say about it.
pub(crate) struct Job<'a> {
    pub(crate) binding: &'a VaultJwtBinding,
    pub(crate) connection: Option<&'a VaultConnection>,
    pub(crate) desired: Desired,
    pub(crate) problems: Vec<FileProblem>,
    /// The fields whose values come from the environment.
    pub(crate) from_environment: Vec<Origin>,
    /// It names a connection that is not among the files, so there is no Vault to ask.
    pub(crate) lost: bool,
    place: &'a Place,
    owner: Owner,
}

impl<'a> Job<'a> {
    fn new(place: &'a Place, binding: &'a VaultJwtBinding, sources: Sources<'a>, cluster: &str) -> Self {
        let namespace = binding.namespace().unwrap_or_default();
        let references = sources.resolve(&namespace, &binding.spec);
        let chosen = connect::connection_of(sources.resources, binding);
        let connection = chosen.as_ref().ok().copied().flatten();
        let granted = connect::granted(connection, sources.resources, &namespace);
        let desired = desired::desired(&binding.spec, &references, &granted);
        let owner = Owner { cluster: cluster.to_owned(), namespace, name: binding.name_any() };
        let variables = sources.from_environment(&owner.namespace, &binding.spec).into_iter();
        let from_environment = variables.map(|(field, variable)| Origin { field, variable }).collect();
        let (problems, lost) = (Vec::new(), chosen.is_err());
        let mut job = Self { binding, connection, desired, problems, from_environment, lost, place, owner };
        if let Err(problem) = chosen {
            job.complain(Some("spec.connectionRef.name".to_owned()), problem);
        }
        job.note_unknown_labels(sources);
        job.take_problems(sources);
        job
    }

    /// How the object is called in messages.
    pub(crate) fn title(&self) -> String {
        format!("VaultJwtBinding {}/{}", self.owner.namespace, self.owner.name)
    }

    pub(crate) fn complain(&mut self, field: Option<String>, message: String) {
        let problem = self.place.problem(self.title(), field, message);
        self.problems.push(problem);
    }

    fn take_problems(&mut self, sources: Sources<'_>) {
        for problem in std::mem::take(&mut self.desired.problems) {
            // What is missing without a cluster is told with the ways in which it can be given here.
            let remedy = (problem.kind == ProblemKind::ReferenceNotFound)
                .then(|| sources.remedy_of(&self.owner.namespace, &self.binding.spec, &problem.field))
                .flatten();
            let message = remedy.map_or(problem.message, |remedy| format!("not found; {remedy}"));
            self.complain(Some(problem.field), message);
        }
    }

    /// Grants by label say nothing about a namespace whose labels are not known.
    fn note_unknown_labels(&mut self, sources: Sources<'_>) {
        let denied = self.desired.problems.iter().any(|problem| problem.kind == ProblemKind::NotGranted);
        let by_label = self
            .connection
            .is_some_and(|connection| connection.spec.grants.iter().any(|grant| grant.namespaces.selector.is_some()));
        if denied && by_label && !sources.resources.knows_namespace(&self.owner.namespace) {
            let message = format!(
                "the connection grants by namespace labels, and Namespace {} is not among the files; add it",
                self.owner.namespace
            );
            self.complain(Some("metadata.namespace".to_owned()), message);
        }
    }

    /// Reads what Vault has.
    pub(crate) async fn observe(&self, target: &Target) -> (Observation, Memory) {
        let mut memory = Memory::default();
        let observation = sync::observe(&target.vault, &target.mounts, &self.desired.objects, &[], &mut memory).await;
        (observation, memory)
    }

    /// What will be done. A person sees it, so what exists and nobody owns is taken over; what carries another
    /// binding's marker only if the spec says so.
    pub(crate) fn plan(&self, observation: &Observation) -> Plan<'_> {
        let takeover = Takeover::from(self.binding.spec.adoption);
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        let mode = Mode {
            correct: true,
            takeover: if takeover == Takeover::Nothing { Takeover::Unmarked } else { takeover },
            owner: &self.owner,
            contested: &none,
            taken: &nothing,
        };
        sync::plan(&self.desired.objects, &[], &[], observation, &mode)
    }

    /// Whose objects these are.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    fn connection_name(&self) -> Option<&str> {
        self.connection.and_then(|connection| connection.metadata.name.as_deref())
    }
}

/// All bindings of the files.
pub(crate) fn jobs<'a>(sources: Sources<'a>, cluster: &str) -> Vec<Job<'a>> {
    let bindings = sources.resources.bindings().iter();
    let mut jobs: Vec<Job<'a>> = bindings.map(|(place, binding)| Job::new(place, binding, sources, cluster)).collect();
    keep_apart(&mut jobs);
    jobs
}

/// Refuses what two bindings claim on one Vault: they would undo each other's work for ever.
fn keep_apart(jobs: &mut [Job<'_>]) {
    let mut claimed: Vec<(Option<String>, Claim, String)> = Vec::new();
    for job in jobs.iter_mut().filter(|job| !job.lost) {
        let connection = job.connection_name().map(str::to_owned);
        let title = job.title();
        for claim in desired::claims(&job.binding.spec) {
            let rival = claimed
                .iter()
                .find(|(where_, theirs, who)| *where_ == connection && *who != title && theirs.conflicts_with(&claim));
            if let Some((_, _, who)) = rival {
                let message = format!("{} is claimed by {who} too; leave it to one of them", claim.id);
                job.complain(None, message);
                job.desired.objects.retain(|object| object.id() != claim.id);
            } else {
                claimed.push((connection.clone(), claim, title.clone()));
            }
        }
    }
}

/// The Vaults of all bindings, each opened once.
#[derive(Default)]
pub(crate) struct Targets {
    opened: BTreeMap<Option<String>, Option<Target>>,
    /// Why the others could not be opened.
    pub(crate) problems: Vec<FileProblem>,
}

impl Targets {
    /// The Vault of a binding, opened and ready; none when it cannot be used, which is a problem then.
    pub(crate) async fn open(&mut self, job: &Job<'_>, sources: Sources<'_>) -> Option<&Target> {
        let key = job.connection_name().map(str::to_owned);
        if !self.opened.contains_key(&key) {
            let target = match connect::open(job.connection, sources) {
                Ok(target) => target.ready().await.map(|()| target),
                Err(trouble) => Err(trouble),
            };
            let target = target.map_err(|trouble| self.problems.push(problem(trouble, key.as_deref(), sources)));
            self.opened.insert(key.clone(), target.ok());
        }
        self.opened.get(&key).and_then(Option::as_ref)
    }

    /// Gives up the tokens that were made for this run; a person's own token stays as it is.
    pub(crate) async fn close(&self) {
        for target in self.opened.values().flatten() {
            target.vault.close().await;
        }
    }
}

/// A trouble where it can be cured: in the connection's document, or in the environment.
fn problem(trouble: Trouble, connection: Option<&str>, sources: Sources<'_>) -> FileProblem {
    let Trouble { setting, message } = trouble;
    match connection.and_then(|name| Some((name, sources.resources.place_of_connection(name)?))) {
        Some((name, place)) => place.problem(format!("VaultConnection {name}"), Some(setting), message),
        None => FileProblem { field: Some(setting), ..FileProblem::of_file("environment".to_owned(), message) },
    }
}

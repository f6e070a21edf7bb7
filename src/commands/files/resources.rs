//! The resources of all files together, by namespace and name. The same object twice is refused: which of the two is
//! meant cannot be told.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use secrecy::SecretSlice;

use super::decode::Fault;
use crate::api::{VaultConnection, VaultJwtBinding};

/// The namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Where a document is.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) document: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (document {})", self.file, self.line, self.document)
    }
}

/// Namespace and name of an object.
pub type Key = (String, String);
/// The data of a Secret or a ConfigMap, by key.
pub type Data = BTreeMap<String, SecretSlice<u8>>;

/// What all files hold.
#[derive(Default)]
pub struct Resources {
    connections: BTreeMap<String, VaultConnection>,
    /// Bindings in the order of the files.
    bindings: Vec<(Place, VaultJwtBinding)>,
    secrets: BTreeMap<Key, Data>,
    config_maps: BTreeMap<Key, Data>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    places: BTreeMap<(&'static str, Key), Place>,
    ignored: Vec<String>,
}

type Added = Result<(), Vec<Fault>>;

impl Resources {
    /// The connections, by name.
    #[must_use]
    pub fn connections(&self) -> &BTreeMap<String, VaultConnection> {
        &self.connections
    }

    /// The bindings and their places, in the order of the files. Each has a namespace and a name.
    #[must_use]
    pub fn bindings(&self) -> &[(Place, VaultJwtBinding)] {
        &self.bindings
    }

    /// The data of a Secret.
    #[must_use]
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Data> {
        self.secrets.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The data of a ConfigMap.
    #[must_use]
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&Data> {
        self.config_maps.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The labels of a namespace, with the one that Kubernetes itself gives it.
    #[must_use]
    pub fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        labels
    }

    /// Whether a namespace is among the files.
    #[must_use]
    pub fn knows_namespace(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// The documents that were passed over, as notes for a person.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Where a connection is.
    #[must_use]
    pub fn place_of_connection(&self, name: &str) -> Option<&Place> {
        self.places.get(&("VaultConnection", (String::new(), name.to_owned())))
    }

    pub(super) fn ignore(&mut self, place: &Place, object: &str) {
        self.ignored.push(format!("{place}: {object} is passed over: not a kind that is used here"));
    }

    pub(super) fn add_connection(&mut self, connection: VaultConnection, place: &Place) -> Added {
        let (_, name) = self.enter("VaultConnection", &connection.metadata, false, place)?;
        self.connections.insert(name, connection);
        Ok(())
    }

    pub(super) fn add_binding(&mut self, mut binding: VaultJwtBinding, place: &Place) -> Added {
        let (namespace, _) = self.enter("VaultJwtBinding", &binding.metadata, true, place)?;
        binding.metadata.namespace = Some(namespace);
        self.bindings.push((place.clone(), binding));
        Ok(())
    }

    pub(super) fn add_secret(&mut self, secret: Secret, place: &Place) -> Added {
        let key = self.enter("Secret", &secret.metadata, true, place)?;
        let mut data: Data =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0.into())).collect();
        let plain = secret.string_data.unwrap_or_default();
        data.extend(plain.into_iter().map(|(key, value)| (key, value.into_bytes().into())));
        self.secrets.insert(key, data);
        Ok(())
    }

    pub(super) fn add_config_map(&mut self, map: ConfigMap, place: &Place) -> Added {
        let key = self.enter("ConfigMap", &map.metadata, true, place)?;
        let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        let plain = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        self.config_maps.insert(key, binary.chain(plain).map(|(key, value)| (key, value.into())).collect());
        Ok(())
    }

    pub(super) fn add_namespace(&mut self, namespace: Namespace, place: &Place) -> Added {
        let (_, name) = self.enter("Namespace", &namespace.metadata, false, place)?;
        self.namespaces.insert(name, namespace.metadata.labels.unwrap_or_default());
        Ok(())
    }

    /// Notes that an object is there, and refuses it when it was there before.
    fn enter(
        &mut self,
        kind: &'static str,
        metadata: &ObjectMeta,
        namespaced: bool,
        place: &Place,
    ) -> Result<Key, Vec<Fault>> {
        let name = match &metadata.name {
            Some(name) if !name.is_empty() => name.clone(),
            _ => return Err(vec![Fault::at("metadata.name", "must be set")]),
        };
        let namespace = if namespaced {
            metadata.namespace.clone().filter(|namespace| !namespace.is_empty()).unwrap_or(DEFAULT_NAMESPACE.to_owned())
        } else {
            String::new()
        };
        let key = (namespace, name);
        if let Some(first) = self.places.get(&(kind, key.clone())) {
            return Err(vec![Fault::at(
                "metadata.name",
                &format!("is the same object as in {first}; leave one of them out"),
            )]);
        }
        self.places.insert((kind, key.clone()), place.clone());
        Ok(key)
    }
}

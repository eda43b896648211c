//! Laying one config over another, as Ignition does it: what the child sets wins, lists are merged by key,
//! files, directories and links share one namespace, and so do the two lists of kernel arguments.
//! Spans come along: a field of the result points to the source that set it.

use crate::model::*;
use crate::node::Node;
use std::collections::HashSet;

/// What the field table cannot say.
#[doc(hidden)]
pub trait Hooks: Sized {
    fn before_merge(_parent: &mut Self, _child: &mut Self) {}
    fn list_key(&self) -> String {
        String::new()
    }
}

macro_rules! plain {
    ($($name:ident)*) => { $( impl Hooks for $name {} )* };
}
plain! {
    Config Ignition IgnitionConfig Verification Proxy Security Tls Timeouts Passwd Owner Cex Clevis
    ClevisCustom Systemd
}

impl Hooks for Resource {
    /// A child's header without a value deletes the parent's.
    fn before_merge(parent: &mut Self, child: &mut Self) {
        let known: HashSet<String> = parent.http_headers.iter().map(Node::key).collect();
        let deleted: HashSet<String> =
            child.http_headers.iter().filter(|h| h.value.is_none()).map(Node::key).collect();
        parent.http_headers.retain(|h| !deleted.contains(&h.key()));
        child.http_headers.retain(|h| h.value.is_some() || !known.contains(&h.key()));
    }
    fn list_key(&self) -> String {
        text(&self.source).to_owned()
    }
}

impl Hooks for Partition {
    fn list_key(&self) -> String {
        match self.number.get() {
            Some(number) if *number != 0 => format!("number:{number}"),
            _ => self.label.as_ref().map_or_else(String::new, |l| format!("label:{}", l.value)),
        }
    }
}

impl Hooks for Storage {
    /// A path of the child replaces the parent's node of another kind.
    fn before_merge(parent: &mut Self, child: &mut Self) {
        let files: HashSet<String> = child.files.iter().map(Node::key).collect();
        let directories: HashSet<String> = child.directories.iter().map(Node::key).collect();
        let links: HashSet<String> = child.links.iter().map(Node::key).collect();
        parent.files.retain(|n| {
            let key = n.key();
            files.contains(&key) || !(directories.contains(&key) || links.contains(&key))
        });
        parent.directories.retain(|n| {
            let key = n.key();
            directories.contains(&key) || !(files.contains(&key) || links.contains(&key))
        });
        parent.links.retain(|n| {
            let key = n.key();
            links.contains(&key) || !(files.contains(&key) || directories.contains(&key))
        });
    }
}

impl Hooks for KernelArguments {
    /// A word is either wanted or unwanted; the child decides.
    fn before_merge(parent: &mut Self, child: &mut Self) {
        let wanted: HashSet<&str> = child.should_exist.iter().map(|a| a.value.as_str()).collect();
        let unwanted: HashSet<&str> = child.should_not_exist.iter().map(|a| a.value.as_str()).collect();
        parent
            .should_exist
            .retain(|a| wanted.contains(a.value.as_str()) || !unwanted.contains(a.value.as_str()));
        parent
            .should_not_exist
            .retain(|a| unwanted.contains(a.value.as_str()) || !wanted.contains(a.value.as_str()));
    }
}

/// Lays `child` over `parent`. Both must be valid; the result may still be invalid and is checked again.
/// The result's version is the child's.
#[must_use]
pub fn merge(parent: Config, child: Config) -> Config {
    Node::merge(parent, child)
}

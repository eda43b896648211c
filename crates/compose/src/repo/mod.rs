//! An archive's metadata, and what follows from it: indices, versions, relations, the closure of a
//! package list, and the lock file that pins it. Pure: bytes in, values out; fetching and checking
//! hashes of what was fetched is done by the caller.

pub mod deb822;
pub mod fuzz;
pub mod lock;
pub mod packages;
pub mod relation;
pub mod solve;
pub mod spec;
pub mod version;

pub use lock::{Change, Lock, LockError, LockedPackage, LockedSuite};
pub use packages::{Package, PackagesError};
pub use relation::{Operator, Relation, RelationError};
pub use solve::{Choice, Request, Solution, SolveError, Universe};
pub use spec::{Archive, ImageSpec, SpecError, Suite, Suites, ToolsSpec};
pub use version::{Version, VersionError};

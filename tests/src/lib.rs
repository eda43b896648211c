//! Virtual-machine and end-to-end tests.

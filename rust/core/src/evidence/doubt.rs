//! Why evidence is not found to hold.

/// Why evidence is not found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The file is not evidence.
    NoEvidence,
    /// It does not hold.
    Fails(&'static str),
    /// What is at hand does not suffice to tell.
    Unknown(String),
}

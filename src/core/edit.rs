//! What becomes of a header.

/// What to do with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<T> {
    /// Leave it as it is.
    Keep,
    /// Add this value: it is not there, which spares Envoy a search.
    Add(T),
    /// Make this its only value.
    Set(T),
    /// Remove all its values.
    Remove,
}

impl<T> Edit<T> {
    /// Returns the same with what `change` makes of the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Edit<U> {
        match self {
            Self::Keep => Edit::Keep,
            Self::Add(value) => Edit::Add(change(value)),
            Self::Set(value) => Edit::Set(change(value)),
            Self::Remove => Edit::Remove,
        }
    }

    /// Returns the same with a reference to the value.
    pub fn as_ref(&self) -> Edit<&T> {
        match self {
            Self::Keep => Edit::Keep,
            Self::Add(value) => Edit::Add(value),
            Self::Set(value) => Edit::Set(value),
            Self::Remove => Edit::Remove,
        }
    }
}

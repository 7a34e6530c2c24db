//! Sticky, pinnable and visible blue/green splits.
